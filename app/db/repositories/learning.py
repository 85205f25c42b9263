"""Queries for what a learning step starts from, and for the rankings it makes."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import CTE, and_, delete, exists, func, insert, select
from sqlalchemy.orm import Session, aliased

from app.db.rows import batched, group, insert as insert_row, insert_missing
from app.db.tables import (
    Blob,
    HeldOut,
    Image,
    Ranking,
    RankingImage,
    TrainedImage,
    UploadImage,
    Version,
    VersionClass,
)
from app.ids import new_id


class SizedImage(NamedTuple):
    """A stored blob and its size in bytes."""

    sha256: str
    size: int


class IdentifiedImage(NamedTuple):
    """An image and what it is recognised by in other files: see `app/imaging/identity.py`."""

    sha256: str
    pixels_sha256: str | None = None
    perceptual_hash: str | None = None


class LabelledImage(NamedTuple):
    """An image of an upload, its size in bytes, its split (``train`` or ``test``) and its name.

    `group` is what it was taken in, if that is known.
    """

    sha256: str
    size: int
    label: str
    split: str
    name: str = ""
    pixels_sha256: str | None = None
    perceptual_hash: str | None = None
    group: str | None = None


def images_of(session: Session, upload_ids: Sequence[str]) -> list[LabelledImage]:
    """Return the images of uploads, in the order (upload as given, position)."""
    query = (
        select(
            UploadImage.upload_id,
            UploadImage.sha256,
            Blob.size,
            UploadImage.label,
            UploadImage.split,
            UploadImage.name,
            Image.pixels_sha256,
            Image.perceptual_hash,
            UploadImage.group,
        )
        .join(Blob, Blob.sha256 == UploadImage.sha256)
        .join(Image, Image.sha256 == UploadImage.sha256)
        .where(UploadImage.upload_id.in_(upload_ids))
        .order_by(UploadImage.upload_id, UploadImage.position)
    )
    found = group((row[0], LabelledImage(*row[1:])) for row in session.execute(query))
    return [image for upload_id in upload_ids for image in found.get(upload_id, ())]


def trained(session: Session, version_id: str) -> list[tuple[str, IdentifiedImage]]:
    """Return the images that a version and its ancestors were trained on.

    Each is (the label it was learnt under, the image), also of classes forgotten since.
    """
    ancestry = ancestry_of(version_id)
    query = (
        select(
            TrainedImage.label,
            TrainedImage.sha256,
            TrainedImage.pixels_sha256,
            TrainedImage.perceptual_hash,
        )
        .join(ancestry, ancestry.c.id == TrainedImage.version_id)
        .distinct()
    )
    rows = session.execute(query)
    return [(row[0], IdentifiedImage(*row[1:])) for row in rows]


def own_trained(session: Session, version_id: str) -> dict[str, list[IdentifiedImage]]:
    """Return the images, by label, that a version itself (not its ancestors) was trained on."""
    query = select(
        TrainedImage.label,
        TrainedImage.sha256,
        TrainedImage.pixels_sha256,
        TrainedImage.perceptual_hash,
    ).where(TrainedImage.version_id == version_id)
    rows = session.execute(query.order_by(TrainedImage.label, TrainedImage.sha256))
    return group((row[0], IdentifiedImage(*row[1:])) for row in rows)


def record_trained(
    session: Session,
    version_id: str,
    hashes: Mapping[str, Collection[str]],
    groups: Mapping[tuple[str, str], str],
) -> None:
    """Remember the images, by label, that a version was trained on, however long they are kept.

    `groups` are those of (label, image).
    """
    known = {image.sha256: image for image in identities(session, set().union(*hashes.values()))}
    add_trained(
        session,
        version_id,
        {label: [known[sha256] for sha256 in images] for label, images in hashes.items()},
        groups,
    )


def add_trained(
    session: Session,
    version_id: str,
    images: Mapping[str, Iterable[IdentifiedImage]],
    groups: Mapping[tuple[str, str], str],
) -> None:
    """Insert what a version was trained on, by label; `groups` are those of (label, image)."""
    rows = [
        {
            "version_id": version_id,
            "label": label,
            "group": groups.get((label, image.sha256)),
            **image._asdict(),
        }
        for label, found in images.items()
        for image in found
    ]
    insert_missing(session, TrainedImage, rows)


def drop_trained(session: Session, classifier_id: str, labels: Collection[str]) -> None:
    """Remove what a classifier remembers of the images it was trained on under these labels."""
    versions = select(Version.id).where(Version.classifier_id == classifier_id)
    session.execute(
        delete(TrainedImage).where(
            TrainedImage.version_id.in_(versions), TrainedImage.label.in_(labels)
        )
    )


def identities(session: Session, hashes: Collection[str]) -> list[IdentifiedImage]:
    """Return what recorded images are recognised by."""
    columns = (Image.sha256, Image.pixels_sha256, Image.perceptual_hash)
    return [
        IdentifiedImage(*row)
        for batch in batched(sorted(hashes))
        for row in session.execute(select(*columns).where(Image.sha256.in_(batch)))
    ]


def exemplars(session: Session, version_id: str) -> dict[int, list[SizedImage]]:
    """Return a version's exemplars by class index, in ranking order."""
    query = (
        select(VersionClass.index, RankingImage.sha256, Blob.size)
        .join(RankingImage, RankingImage.ranking_id == VersionClass.ranking_id)
        .join(Blob, Blob.sha256 == RankingImage.sha256)
        .where(VersionClass.version_id == version_id, RankingImage.rank < VersionClass.kept)
        .order_by(VersionClass.index, RankingImage.rank)
    )
    rows = session.execute(query)
    return group((index, SizedImage(sha256, size)) for index, sha256, size in rows)


def held_out(session: Session, version_id: str) -> dict[int, list[str]]:
    """Return the held-out images of a version and its ancestors by class index, oldest first.

    Classes that ancestors knew and that have been forgotten since are left out.
    """
    ancestry = ancestry_of(version_id)
    known = and_(VersionClass.version_id == version_id, VersionClass.index == HeldOut.index)
    query = (
        select(HeldOut.index, HeldOut.sha256)
        .join(ancestry, ancestry.c.id == HeldOut.version_id)
        .join(VersionClass, known)
        .order_by(ancestry.c.number, HeldOut.index, HeldOut.position)
    )
    return group(session.execute(query))


def ever_held_out(session: Session, version_id: str) -> set[str]:
    """Return the images that a version and its ancestors held out, of forgotten classes too."""
    ancestry = ancestry_of(version_id)
    query = select(HeldOut.sha256).join(ancestry, ancestry.c.id == HeldOut.version_id)
    return set(session.scalars(query))


def last_used(session: Session, version_id: str) -> tuple[int, int]:
    """Return the highest class index and the highest task that a version and its ancestors used.

    Each version stores those of its ancestors, which may have been deleted since.
    """
    ancestry = ancestry_of(version_id)
    query = (
        select(
            func.max(VersionClass.index),
            func.max(VersionClass.task),
            func.max(Version.last_index),
            func.max(Version.last_task),
        )
        .join(Version, Version.id == VersionClass.version_id)
        .join(ancestry, ancestry.c.id == VersionClass.version_id)
    )
    index, task, last_index, last_task = session.execute(query).one()
    return (-1, -1) if index is None else (max(index, last_index), max(task, last_task))


def add_ranking(session: Session, classifier_id: str, images: Iterable[str]) -> str:
    """Store a class's images in herding order and return the ranking's id."""
    ranking = Ranking(id=new_id("rnk"), classifier_id=classifier_id)
    insert_row(session, ranking)
    rows = [
        {"ranking_id": ranking.id, "rank": rank, "sha256": sha256}
        for rank, sha256 in enumerate(images)
    ]
    session.execute(insert(RankingImage), rows)
    return ranking.id


def remove_unused_rankings(session: Session, classifier_id: str) -> None:
    """Delete the rankings that no class of any version refers to."""
    unused = and_(
        Ranking.classifier_id == classifier_id,
        ~exists().where(VersionClass.ranking_id == Ranking.id),
    )
    session.execute(delete(Ranking).where(unused))


def ancestry_of(version_id: str) -> CTE:
    """The version and its ancestors."""
    ancestry = (
        select(Version.id, Version.parent_id, Version.number, Version.job_id)
        .where(Version.id == version_id)
        .cte(recursive=True)
    )
    parent = aliased(Version)
    return ancestry.union_all(
        select(parent.id, parent.parent_id, parent.number, parent.job_id).where(
            parent.id == ancestry.c.parent_id
        )
    )
