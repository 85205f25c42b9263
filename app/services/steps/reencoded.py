"""Exemplars that a learning step keeps in another form than they were sent in."""

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy.orm import Session

from app.db.repositories import blobs as blob_rows, learning as learning_rows
from app.db.repositories.blobs import ImageRow
from app.imaging.webp import WebP


class ReencodedImage(NamedTuple):
    """The size in bytes of a re-encoded image, and the hash of the image that it was."""

    size: int
    original: str


@dataclass(frozen=True)
class Reencoded:
    """The exemplars that were re-encoded, by the hash of their new form, and what encoded them."""

    encoder: WebP
    images: dict[str, ReencodedImage]


def record(session: Session, reencoded: Reencoded, side: int) -> None:
    """Record re-encoded images, of `side` pixels, as the pictures that they were.

    Each is recognised by what its original is recognised by: sent again, that is an exemplar.
    """
    originals = {image.original for image in reencoded.images.values()}
    known = {image.sha256: image for image in learning_rows.identities(session, originals)}
    blob_rows.record_images(
        session,
        (
            ImageRow(
                sha256,
                image.size,
                media_type=f"image/{reencoded.encoder.format}",
                width=side,
                height=side,
                pixels_sha256=known[image.original].pixels_sha256,
                perceptual_hash=known[image.original].perceptual_hash,
            )
            for sha256, image in reencoded.images.items()
        ),
    )
