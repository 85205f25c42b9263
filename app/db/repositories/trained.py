"""Queries for what versions were trained on, and for labels that corrections took from images."""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.db.repositories.learning import IdentifiedImage, ancestry, identities
from app.db.rows import group, insert_missing
from app.db.tables import HeldOut, TrainedImage, Version


class TrainedRow(NamedTuple):
    """An image that a version was trained on, and the index of the class it was learnt as.

    `taken_out`: a correction has taken the label from it. The index is None where an older release
    did not know it.
    """

    sha256: str
    pixels_sha256: str | None = None
    perceptual_hash: str | None = None
    class_index: int | None = None
    taken_out: bool = False
    group: str | None = None

    @property
    def identity(self) -> IdentifiedImage:
        """What it is recognised by in other files."""
        return IdentifiedImage(*self[:3])


_TRAINED = (
    TrainedImage.label,
    TrainedImage.sha256,
    TrainedImage.pixels_sha256,
    TrainedImage.perceptual_hash,
    TrainedImage.class_index,
    TrainedImage.taken_out,
    TrainedImage.group,
)


def trained(session: Session, version_id: str) -> list[tuple[str, TrainedRow]]:
    """Return the images that a version and its ancestors were trained on, or took a label from.

    Each is (the label, the image as the newest of them says), also of classes forgotten since.
    """
    chain = ancestry(version_id)
    query = select(*_TRAINED).join(chain, chain.c.id == TrainedImage.version_id)
    newest: dict[tuple[str, str], TrainedRow] = {}
    for found in session.execute(query.order_by(chain.c.number)):
        newest[found.label, found.sha256] = TrainedRow(*found[1:])
    return [(label, row) for (label, _), row in newest.items()]


def own_trained(session: Session, version_id: str) -> dict[str, list[TrainedRow]]:
    """Return what `trained` does, by label, of a version itself, not its ancestors."""
    query = select(*_TRAINED).where(TrainedImage.version_id == version_id)
    rows = session.execute(query.order_by(TrainedImage.label, TrainedImage.sha256))
    return group((row[0], TrainedRow(*row[1:])) for row in rows)


def record_trained(
    session: Session,
    version_id: str,
    hashes: Mapping[str, Collection[str]],
    indices: Mapping[str, int],
    groups: Mapping[tuple[str, str], str],
) -> None:
    """Remember the images, by label, that a version was trained on, however long they are kept.

    `indices` are those of the labels' classes, `groups` those of (label, image).
    """
    known = {image.sha256: image for image in identities(session, set().union(*hashes.values()))}
    add_trained(
        session,
        version_id,
        {
            label: [
                TrainedRow(*known[sha256], indices[label], group=groups.get((label, sha256)))
                for sha256 in images
            ]
            for label, images in hashes.items()
        },
    )


def add_trained(
    session: Session, version_id: str, images: Mapping[str, Iterable[TrainedRow]]
) -> None:
    """Insert what a version was trained on, by label; what it says itself stays."""
    rows = [
        {"version_id": version_id, "label": label, **image._asdict()}
        for label, found in images.items()
        for image in found
    ]
    insert_missing(session, TrainedImage, rows)


def take_over_trained(session: Session, parent: str, child: str) -> None:
    """Give a version what its parent was trained on and took labels from.

    What the child holds out itself, it has been given the label of again.
    """
    query = select(HeldOut.index, HeldOut.sha256).where(HeldOut.version_id == child)
    given_again = {(index, sha256) for index, sha256 in session.execute(query)}
    rows = {
        label: [
            row
            for row in found
            if not row.taken_out or (row.class_index, row.sha256) not in given_again
        ]
        for label, found in own_trained(session, parent).items()
    }
    add_trained(session, child, rows)


def own_taken_out(session: Session, version_id: str) -> set[tuple[int | None, str]]:
    """Return (class index, image) of the labels that a version itself takes from images."""
    query = select(TrainedImage.class_index, TrainedImage.sha256).where(
        TrainedImage.version_id == version_id, TrainedImage.taken_out
    )
    return {(index, sha256) for index, sha256 in session.execute(query)}


def drop_trained(session: Session, classifier_id: str, labels: Collection[str]) -> None:
    """Remove what a classifier remembers of the images it was trained on under these labels."""
    versions = select(Version.id).where(Version.classifier_id == classifier_id)
    session.execute(
        delete(TrainedImage).where(
            TrainedImage.version_id.in_(versions), TrainedImage.label.in_(labels)
        )
    )
