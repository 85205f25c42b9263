"""Queries about what a workspace owns: rows that refer to blobs. Blobs are shared by hash."""

from typing import Any

from sqlalchemy import Select, func, or_, select, union
from sqlalchemy.orm import Session

from app.db.tables import (
    Blob,
    Classifier,
    HeldOut,
    Image,
    Job,
    JobCheckpoint,
    Ranking,
    RankingImage,
    Upload,
    UploadImage,
    Version,
    VersionPart,
)


def image(session: Session, workspace: str, sha256: str) -> Image | None:
    """Return an image's row if a row of the workspace refers to the image."""
    owned = [query.where(query.selected_columns[0] == sha256) for query in _images(workspace)]
    query = select(Image).where(Image.sha256 == sha256, or_(*(each.exists() for each in owned)))
    return session.scalar(query)


def lock_quota(session: Session, workspace: str) -> None:
    """Let no other transaction count against the workspace's quotas until this one has ended.

    Take it after every lock of a row that this transaction needs: nobody who holds it may wait for
    a transaction that waits for it. On SQLite a transaction that writes is alone anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        number = func.hashtextextended(f"quota {workspace}", 0)
        session.execute(select(func.pg_advisory_xact_lock(number)))


def stored_bytes(session: Session, workspace: str) -> int:
    """Return the bytes of all images, tensors and checkpoints of the workspace, each counted once.

    Bytes that several workspaces share count for each of them.
    """
    hashes = union(*_images(workspace), *_tensors(workspace)).subquery()
    query = select(func.sum(Blob.size)).join(hashes, hashes.c[0] == Blob.sha256)
    return int(session.scalar(query) or 0)


def waiting_jobs(session: Session, workspace: str) -> int:
    """Return how many jobs of the workspace no worker has claimed yet."""
    query = select(func.count()).where(Job.workspace == workspace, Job.state == "queued")
    return session.scalar(query) or 0


def _images(workspace: str) -> list[Select[Any]]:
    """Select the hashes of a workspace's images: of uploads, rankings and held-out images."""
    return [
        select(UploadImage.sha256)
        .join(Upload, Upload.id == UploadImage.upload_id)
        .where(Upload.workspace == workspace),
        select(RankingImage.sha256)
        .join(Ranking, Ranking.id == RankingImage.ranking_id)
        .join(Classifier, Classifier.id == Ranking.classifier_id)
        .where(Classifier.workspace == workspace),
        select(HeldOut.sha256)
        .join(Version, Version.id == HeldOut.version_id)
        .join(Classifier, Classifier.id == Version.classifier_id)
        .where(Classifier.workspace == workspace),
    ]


def _tensors(workspace: str) -> list[Select[Any]]:
    return [
        select(VersionPart.sha256)
        .join(Version, Version.id == VersionPart.version_id)
        .join(Classifier, Classifier.id == Version.classifier_id)
        .where(Classifier.workspace == workspace),
        select(JobCheckpoint.sha256)
        .join(Job, Job.id == JobCheckpoint.job_id)
        .where(Job.workspace == workspace),
    ]
