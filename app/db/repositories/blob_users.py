"""What needs a blob: the answer to what is lost with it."""

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.rows import batched
from app.db.tables import (
    Alias,
    Classifier,
    HeldOut,
    JobCheckpoint,
    Ranking,
    RankingImage,
    UploadImage,
    Version,
    VersionPart,
)


def users(session: Session, hashes: Sequence[str]) -> list[str]:
    """Say what needs these blobs: a line for each kind of use by a version, an upload or a job."""
    found: Counter[str] = Counter()
    for batch in batched(hashes):
        found.update(_uses(session, batch))
    return [f"{use} ({count})" if count > 1 else use for use, count in sorted(found.items())]


def aliased_parts(session: Session) -> set[str]:
    """Return the hashes of the tensors of all versions that aliases name."""
    query = select(VersionPart.sha256).join(Alias, Alias.version_id == VersionPart.version_id)
    return set(session.scalars(query))


def _uses(session: Session, hashes: Sequence[str]) -> list[str]:
    version = select(Classifier.name, Version.number).join(
        Version, Version.classifier_id == Classifier.id
    )
    parts = (
        version.add_columns(VersionPart.name)
        .join(VersionPart, VersionPart.version_id == Version.id)
        .where(VersionPart.sha256.in_(hashes))
    )
    held_out = version.join(HeldOut, HeldOut.version_id == Version.id).where(
        HeldOut.sha256.in_(hashes)
    )
    exemplars = (
        select(Classifier.name)
        .join(Ranking, Ranking.classifier_id == Classifier.id)
        .join(RankingImage, RankingImage.ranking_id == Ranking.id)
        .where(RankingImage.sha256.in_(hashes))
    )
    uploads = select(UploadImage.upload_id).where(UploadImage.sha256.in_(hashes))
    jobs = select(JobCheckpoint.job_id).where(JobCheckpoint.sha256.in_(hashes))
    return [
        *(f"{name} version {n}: tensors {part}" for name, n, part in session.execute(parts)),
        *(f"{name} version {n}: held-out images" for name, n in session.execute(held_out)),
        *(f"{name}: exemplars" for name in session.scalars(exemplars)),
        *(f"upload {upload_id}: images" for upload_id in session.scalars(uploads)),
        *(f"job {job_id}: checkpoint" for job_id in session.scalars(jobs)),
    ]
