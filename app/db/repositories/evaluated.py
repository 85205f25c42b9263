"""Queries for what versions say of images that jobs evaluated."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from app.db.tables import EvaluatedImage, Job


class EvaluatedRow(NamedTuple):
    """What a version says of an image. `label_score` is None where it does not know the label."""

    sha256: str
    label: str
    predicted: str
    score: float
    label_score: float | None
    p_known: float | None
    known: bool | None


def add(session: Session, job_id: str, images: Sequence[EvaluatedRow]) -> None:
    """Insert what a job found, in this order."""
    rows = [
        {"job_id": job_id, "position": position, **image._asdict()}
        for position, image in enumerate(images)
    ]
    if rows:
        session.execute(insert(EvaluatedImage), rows)


def page(
    session: Session, job_id: str, *, wrong: bool | None, limit: int, after: int
) -> list[EvaluatedImage]:
    """Return up to `limit` images of a job, those after a position.

    With `wrong`, those of known labels that the version contradicts, or does not.
    """
    query = select(EvaluatedImage).where(
        EvaluatedImage.job_id == job_id, EvaluatedImage.position > after
    )
    if wrong is not None:
        is_right = EvaluatedImage.predicted == EvaluatedImage.label
        query = query.where(EvaluatedImage.label_score.is_not(None), is_right.is_not(wrong))
    return list(session.scalars(query.order_by(EvaluatedImage.position).limit(limit)))


def drop(session: Session, classifier_id: str, labels: Collection[str]) -> None:
    """Remove what a classifier's jobs found of images with these labels."""
    jobs = select(Job.id).where(Job.classifier_id == classifier_id)
    session.execute(
        delete(EvaluatedImage).where(
            EvaluatedImage.job_id.in_(jobs), EvaluatedImage.label.in_(labels)
        )
    )
