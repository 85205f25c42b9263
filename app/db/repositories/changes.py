"""Queries about changes of classifiers, which API processes follow."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from app.db.tables import ClassifierChange

# Much longer than a reader takes to see them; one that was away for longer reads everything again.
_LIFETIME = timedelta(hours=1)


def record(session: Session, classifier_id: str) -> None:
    """Record that a classifier, its versions or its aliases change in this transaction."""
    # Not locking a counter: transactions of different classifiers must not wait for each other.
    session.add(ClassifierChange(classifier_id=classifier_id, changed_at=datetime.now(UTC)))
    session.flush()


def after(session: Session, number: int) -> list[tuple[int, str]]:
    """Return numbers and classifiers of the changes after a number, in the order of numbers."""
    query = select(ClassifierChange.number, ClassifierChange.classifier_id)
    rows = session.execute(
        query.where(ClassifierChange.number > number).order_by(ClassifierChange.number)
    )
    return [(row.number, row.classifier_id) for row in rows]


def newest(session: Session) -> int:
    """Return the highest number, 0 where there is none."""
    return session.scalar(select(func.max(ClassifierChange.number))) or 0


def delete_old(session: Session, now: datetime) -> None:
    """Delete the changes that every reader has seen."""
    session.execute(delete(ClassifierChange).where(ClassifierChange.changed_at < now - _LIFETIME))
