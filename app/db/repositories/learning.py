"""Queries that gather what a learning step starts from, and store the rankings it makes."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import CTE, and_, case, delete, exists, func, insert, select
from sqlalchemy.orm import Session, aliased

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
    """A stored image and its bytes."""

    sha256: str
    size: int


class LabelledImage(NamedTuple):
    """An image of an upload."""

    sha256: str
    size: int
    label: str
    split: str


def train_counts(session: Session, upload_ids: Sequence[str]) -> dict[str, int]:
    """Return every label of the uploads and how many images it has to train on."""
    train = func.sum(case((UploadImage.split == "train", 1), else_=0))
    query = select(UploadImage.label, train).where(UploadImage.upload_id.in_(upload_ids))
    rows = session.execute(query.group_by(UploadImage.label))
    return {label: count for label, count in rows}  # noqa: C416 - dict() loses the row's types


def job_images(session: Session, job_id: str) -> list[LabelledImage]:
    """Return the images a job learns from, in the order (upload as named, position)."""
    query = (
        select(UploadImage.sha256, Blob.size, UploadImage.label, UploadImage.split)
        .join(JobUpload, JobUpload.upload_id == UploadImage.upload_id)
        .join(Blob, Blob.sha256 == UploadImage.sha256)
        .where(JobUpload.job_id == job_id)
        .order_by(JobUpload.position, UploadImage.position)
    )
    return [LabelledImage(*row) for row in session.execute(query)]


def learnt_before(session: Session, job_id: str, version_id: str) -> set[tuple[str, str]]:
    """Return those of a job's images that earlier jobs of the version's chain had to train on.

    Each is (the label it was sent under then, its hash).

    Known as long as the earlier uploads are there.
    """
    line = _line(version_id)
    earlier, earlier_use = aliased(UploadImage), aliased(JobUpload)
    query = (
        select(earlier.label, earlier.sha256)
        .select_from(UploadImage)
        .join(JobUpload, JobUpload.upload_id == UploadImage.upload_id)
        .join(earlier, earlier.sha256 == UploadImage.sha256)
        .join(earlier_use, earlier_use.upload_id == earlier.upload_id)
        .join(line, line.c.job_id == earlier_use.job_id)
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
    found: dict[int, list[SizedImage]] = {}
    for index, sha256, size in session.execute(query):
        found.setdefault(index, []).append(SizedImage(sha256, size))
    return found


def held_out(session: Session, version_id: str) -> dict[int, list[str]]:
    """Return the held-out images of a version and its ancestors by class index, oldest first.

    Of the classes that the version knows: ancestors may have known others, forgotten since.
    """
    line = _line(version_id)
    known = and_(VersionClass.version_id == version_id, VersionClass.index == HeldOut.index)
    query = (
        select(HeldOut.index, HeldOut.sha256)
        .join(line, line.c.id == HeldOut.version_id)
        .join(VersionClass, known)
        .order_by(line.c.number, HeldOut.index, HeldOut.position)
    )
    found: dict[int, list[str]] = {}
    for index, sha256 in session.execute(query):
        found.setdefault(index, []).append(sha256)
    return found


def ever_held_out(session: Session, version_id: str) -> set[str]:
    """Return all images that a version and its ancestors held out, also of forgotten classes."""
    line = _line(version_id)
    query = select(HeldOut.sha256).join(line, line.c.id == HeldOut.version_id)
    return set(session.scalars(query))


def last_used(session: Session, version_id: str) -> tuple[int, int]:
    """Return the highest class index and the highest task that the chain of parents has used.

    Versions remember them of ancestors that were purged.
    """
    line = _line(version_id)
    query = (
        select(
            func.max(VersionClass.index),
            func.max(VersionClass.task),
            func.max(Version.last_index),
            func.max(Version.last_task),
        )
        .join(Version, Version.id == VersionClass.version_id)
        .join(line, line.c.id == VersionClass.version_id)
    )
    index, task, last_index, last_task = session.execute(query).one()
    return (-1, -1) if index is None else (max(index, last_index), max(task, last_task))


def add_ranking(session: Session, classifier_id: str, images: Iterable[str]) -> str:
    """Store a class's images in herding order and return the ranking's id."""
    ranking = Ranking(id=new_id("rnk"), classifier_id=classifier_id)
    session.add(ranking)
    session.flush()
    session.execute(
        insert(RankingImage),
        [
            {"ranking_id": ranking.id, "rank": rank, "sha256": sha256}
            for rank, sha256 in enumerate(images)
        ],
    )
    return ranking.id


def remove_unused_rankings(session: Session, classifier_id: str) -> None:
    """Delete the rankings that no version's class has any more."""
    unused = and_(
        Ranking.classifier_id == classifier_id,
        ~exists().where(VersionClass.ranking_id == Ranking.id),
    )
    session.execute(delete(Ranking).where(unused))


def _line(version_id: str) -> CTE:
    """The version and its ancestors."""
    line = (
        select(Version.id, Version.parent_id, Version.number, Version.job_id)
        .where(Version.id == version_id)
        .cte(recursive=True)
    )
    parent = aliased(Version)
    return line.union_all(
        select(parent.id, parent.parent_id, parent.number, parent.job_id).where(
            parent.id == line.c.parent_id
        )
    )
