"""Queries for what a learning step starts from, and for the rankings it makes."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from sqlalchemy import CTE, and_, delete, exists, func, insert, or_, select
from sqlalchemy.orm import Session, aliased

from app.db.rows import batched, group, insert as insert_row
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

    @property
    def picture(self) -> str:
        """Its pixels' hash; its file's where that is not known."""
        return self.pixels_sha256 or self.sha256


_LABELLED = (
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
)


def images_of(session: Session, upload_ids: Sequence[str]) -> list[LabelledImage]:
    """Return the images of uploads, in the order (upload as given, position)."""
    query = _LABELLED.where(UploadImage.upload_id.in_(upload_ids)).order_by(
        UploadImage.upload_id, UploadImage.position
    )
    found = group((row[0], LabelledImage(*row[1:])) for row in session.execute(query))
    return [image for upload_id in upload_ids for image in found.get(upload_id, ())]


def images_showing(
    session: Session, upload_id: str, pictures: Mapping[str, str]
) -> list[LabelledImage]:
    """Return the images of an upload that show one of these pictures, in the order of position.

    `pictures` are hashes of pixels by those of files: an image whose pixels are not known is
    recognised by its file.
    """
    query = _LABELLED.add_columns(UploadImage.position).where(UploadImage.upload_id == upload_id)
    found = []
    for batch in batched(list(pictures.items())):
        same_pixels = Image.pixels_sha256.in_({pixels for _, pixels in batch})
        same_file = Image.sha256.in_([sha256 for sha256, _ in batch])
        rows = session.execute(
            query.where(or_(same_pixels, and_(same_file, Image.pixels_sha256.is_(None))))
        )
        found += [(row[-1], LabelledImage(*row[1:-1])) for row in rows]
    return [
        image._replace(pixels_sha256=image.pixels_sha256 or pictures[image.sha256])
        for _, image in sorted(found, key=itemgetter(0))
    ]


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

    Classes that ancestors knew and that have been forgotten since are left out, and so are images
    whose label was taken from them.
    """
    query = select(VersionClass.index).where(VersionClass.version_id == version_id)
    known = set(session.scalars(query))
    return group(pair for pair in _held_out_pairs(session, version_id) if pair[0] in known)


def ever_held_out(session: Session, version_id: str) -> set[str]:
    """Return the images that a version and its ancestors held out, of forgotten classes too."""
    return {sha256 for _, sha256 in _held_out_pairs(session, version_id)}


def _held_out_pairs(session: Session, version_id: str) -> list[tuple[int, str]]:
    """Return (class index, image) of what a version and its ancestors hold out, oldest first."""
    chain = ancestry(version_id)
    query = (
        select(TrainedImage.class_index, TrainedImage.sha256, chain.c.number)
        .join(chain, chain.c.id == TrainedImage.version_id)
        .where(TrainedImage.taken_out)
        .order_by(chain.c.number)
    )
    taken_out = {(index, sha256): number for index, sha256, number in session.execute(query)}
    chain = ancestry(version_id)
    rows = session.execute(
        select(HeldOut.index, HeldOut.sha256, chain.c.number)
        .join(chain, chain.c.id == HeldOut.version_id)
        .order_by(chain.c.number, HeldOut.index, HeldOut.position)
    )
    return list(
        dict.fromkeys(
            (index, sha256)
            for index, sha256, number in rows
            if number > taken_out.get((index, sha256), -1)
        )
    )


def last_used(session: Session, version_id: str) -> tuple[int, int]:
    """Return the highest class index and the highest task that a version and its ancestors used.

    Each version stores those of its ancestors, which may have been deleted since.
    """
    chain = ancestry(version_id)
    query = (
        select(
            func.max(VersionClass.index),
            func.max(VersionClass.task),
            func.max(Version.last_index),
            func.max(Version.last_task),
        )
        .join(Version, Version.id == VersionClass.version_id)
        .join(chain, chain.c.id == VersionClass.version_id)
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


def ancestry(version_id: str) -> CTE:
    """The version and its ancestors."""
    chain = (
        select(Version.id, Version.parent_id, Version.number, Version.job_id)
        .where(Version.id == version_id)
        .cte(recursive=True)
    )
    parent = aliased(Version)
    return chain.union_all(
        select(parent.id, parent.parent_id, parent.number, parent.job_id).where(
            parent.id == chain.c.parent_id
        )
    )
