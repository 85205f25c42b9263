"""Queries about worker processes."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app.db.tables import Worker


def add(session: Session, worker: Worker) -> None:
    """Register a worker that has started."""
    session.add(worker)
    session.flush()


def seen(session: Session, worker_id: str, *, now: datetime) -> None:
    """Write down that a worker is alive."""
    session.execute(update(Worker).where(Worker.id == worker_id).values(seen_at=now))


def on_host(session: Session, host: str) -> list[Worker]:
    """Return the workers registered on a host."""
    return list(session.scalars(select(Worker).where(Worker.host == host)))


def any_seen_since(session: Session, moment: datetime) -> bool:
    """Say whether any worker was alive at or after a moment."""
    return session.scalar(select(Worker.id).where(Worker.seen_at >= moment).limit(1)) is not None


def remove(session: Session, worker_ids: Sequence[str]) -> None:
    """Forget workers that have ended."""
    session.execute(delete(Worker).where(Worker.id.in_(worker_ids)))
