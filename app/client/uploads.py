"""Sends uploads, and says in lines for the terminal what became of their files."""

from collections.abc import Iterable
from typing import cast

from accrue_client.progress import teller
from accrue_client.sources import LabelledImage, LabelledImages, Split
from accrue_client.uploading import send
from accrue_client.views import RejectedReason, Upload

from app.client.client import Client
from app.client.folder import ImageFile


def send_images(client: Client, images: Iterable[ImageFile]) -> Upload:
    """Make an upload of files named ``label/name`` or ``train/label/name``. Raises ClientError."""
    found = LabelledImages([_labelled(image) for image in images])
    return client.run(send(client.api, found, teller(False)))


def rejected_lines(upload: Upload) -> list[str]:
    """Return a line for each reason for which files were rejected, and for each empty class."""
    reasons = [
        f"  rejected {group.count}: {group.reason} ({_names(group)})"
        for group in upload.rejected_reasons
    ]
    empty = [
        f"  class {label!r} is left out: not one of its files was accepted"
        for label in upload.empty_classes
    ]
    return reasons + empty


def _labelled(image: ImageFile) -> LabelledImage:
    *splits, label, _ = image.name.split("/")[-3:]
    split = cast(Split, splits[0]) if splits else None
    return LabelledImage(image.name, label, image.source.read_bytes, image.size, split)


def _names(group: RejectedReason) -> str:
    more = group.count - len(group.examples)
    names = ", ".join(group.examples)
    return f"{names} and {more} more" if more else names
