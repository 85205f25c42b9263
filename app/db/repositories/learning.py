"""Queries for what a learning step starts from, and for the rankings it makes."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import CTE, and_, case, delete, exists, func, insert, select
from sqlalchemy.orm import Session, aliased

from app.db.rows import group, insert as insert_row
from app.db.tables import (
    Blob,
    HeldOut,
    JobUpload,
    Ranking,
    RankingImage,
    UploadImage,
    Version,
    VersionClass,
)
from app.ids import new_id


class SizedImage(NamedTuple):
    """A stored blob and its size in bytes."""

    sha256: str
    size: int


class LabelledImage(NamedTuple):
    """An image of an upload, its size in bytes, and its split: ``train`` or ``test``."""

    sha256: str
    size: int
    label: str
    split: str


def train_counts(session: Session, upload_ids: Sequence[str]) -> dict[str, int]:
    """Return how many images to train on each label of the uploads has, which may be none."""
    train = func.sum(case((UploadImage.split == "train", 1), else_=0))
    query = select(UploadImage.label, train).where(UploadImage.upload_id.in_(upload_ids))
    rows = session.execute(query.group_by(UploadImage.label))
    return {label: count for label, count in rows}  # noqa: C416 - dict() loses the row's types


def job_images(session: Session, job_id: str) -> list[LabelledImage]:
    """Return the images a job learns from, in the order (upload in the request, position)."""
    query = (
        select(UploadImage.sha256, Blob.size, UploadImage.label, UploadImage.split)
        .join(JobUpload, JobUpload.upload_id == UploadImage.upload_id)
        .join(Blob, Blob.sha256 == UploadImage.sha256)
        .where(JobUpload.job_id == job_id)
        .order_by(JobUpload.position, UploadImage.position)
    )
    return [LabelledImage(*row) for row in session.execute(query)]


def learnt_before(session: Session, job_id: str, version_id: str) -> set[tuple[str, str]]:
    """Return those of a job's images that were sent to train on before.

    Each is (the label it was sent under then, its hash). The earlier jobs are those that made the
    version and its ancestors; their images are known as long as their uploads exist.
    """
    ancestry = _ancestry(version_id)
    earlier, earlier_use = aliased(UploadImage), aliased(JobUpload)
    query = (
        select(earlier.label, earlier.sha256)
        .select_from(UploadImage)
        .join(JobUpload, JobUpload.upload_id == UploadImage.upload_id)
        .join(earlier, earlier.sha256 == UploadImage.sha256)
        .join(earlier_use, earlier_use.upload_id == earlier.upload_id)
        .join(ancestry, ancestry.c.job_id == earlier_use.job_id)
        .where(JobUpload.job_id == job_id, earlier.split == "train")
    )
    return {(label, sha256) for label, sha256 in session.execute(query.distinct())}


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
    ancestry = _ancestry(version_id)
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
    ancestry = _ancestry(version_id)
    query = select(HeldOut.sha256).join(ancestry, ancestry.c.id == HeldOut.version_id)
    return set(session.scalars(query))


def last_used(session: Session, version_id: str) -> tuple[int, int]:
    """Return the highest class index and the highest task that a version and its ancestors used.

    Each version stores those of its ancestors, which may have been deleted since.
    """
    ancestry = _ancestry(version_id)
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


def _ancestry(version_id: str) -> CTE:
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
