"""Queries about worker processes."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, exists, select, update
from sqlalchemy.orm import Session

from app.db.tables import HOLDING_STATES, Job, Worker


def seen(session: Session, worker_id: str, *, now: datetime) -> bool:
    """Record that a worker is alive; False where it is not registered."""
    statement = update(Worker).where(Worker.id == worker_id).values(seen_at=now)
    return session.scalar(statement.returning(Worker.id)) is not None


def queues(session: Session, seen_since: datetime, *, idle: bool = False) -> set[str]:
    """Return the queues of the workers that were seen at or after a moment.

    With `idle`, only of workers that hold no job.
    """
    query = select(Worker.queues).where(Worker.seen_at >= seen_since)
    if idle:
        holds = exists().where(Job.worker_id == Worker.id, Job.state.in_(HOLDING_STATES))
        query = query.where(~holds)
    return {queue for queues in session.scalars(query) for queue in queues}


def remove_silent(session: Session, *, since: datetime) -> None:
    """Delete the workers that were last seen before a moment."""
    session.execute(delete(Worker).where(Worker.seen_at < since))


def remove(session: Session, worker_ids: Sequence[str]) -> None:
    """Delete workers that have ended."""
    session.execute(delete(Worker).where(Worker.id.in_(worker_ids)))
