"""Queries about this database itself: its identity, and when it sweeps next."""

from datetime import datetime

from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.orm import Session

from app.db.rows import insert_missing
from app.db.tables import Installation
from app.ids import new_id


def identity(session: Session) -> str | None:
    """Return the id that distinguishes this database from others, None where it has none yet."""
    return session.scalar(select(Installation.id))


def ensure_identity(session: Session, now: datetime) -> str:
    """Return the database's identity; make one where there is none, its first sweep due at once."""
    row = {"number": 1, "id": new_id("ins"), "sweep_due_at": now}
    insert_missing(session, Installation, [row])
    found = identity(session)
    assert found is not None  # noqa: S101 - inserted above
    return found


def sweep_due_at(session: Session) -> datetime | None:
    """Return when the storage is to be swept next, None where there is no identity yet."""
    return session.scalar(select(Installation.sweep_due_at))


def may_sweep(session: Session, now: datetime) -> bool:
    """Say whether a sweep is due, and the pause after the last failure is over.

    Also where there is no identity yet: the first sweep is due at once.
    """
    due = session.scalar(select(_may_sweep(now)).select_from(Installation))
    return due is None or due


def take_sweep(session: Session, now: datetime, *, next_at: datetime) -> bool:
    """Claim the sweep that is due for this process; False where another process has it."""
    taken = session.scalar(
        update(Installation)
        .where(_may_sweep(now))
        .values(sweep_due_at=next_at)
        .returning(Installation.id)
    )
    return taken is not None


def sweep_done(session: Session) -> None:
    """Record that a sweep has done all there was to do."""
    session.execute(
        update(Installation).values(
            sweep_failures=0, sweep_not_before=None, sweep_error=None, undeleted_blobs=0
        )
    )


def sweep_failed(
    session: Session,
    *,
    next_at: datetime,
    due_at: datetime,
    not_before: datetime,
    error: str,
    undeleted: int,
) -> None:
    """Make the sweep that was claimed until `next_at` due again, unless another was claimed since.

    It stays due since `due_at`, which monitoring shows, and is tried again after `not_before`.
    """
    session.execute(
        update(Installation)
        .where(Installation.sweep_due_at == next_at)
        .values(
            sweep_due_at=due_at,
            sweep_failures=Installation.sweep_failures + 1,
            sweep_not_before=not_before,
            sweep_error=error,
            undeleted_blobs=undeleted,
        )
    )


def sweep_failures(session: Session) -> int:
    """Return how many sweeps in a row have failed."""
    return session.scalar(select(Installation.sweep_failures)) or 0


def _may_sweep(now: datetime) -> ColumnElement[bool]:
    waits = Installation.sweep_not_before
    return and_(Installation.sweep_due_at <= now, or_(waits.is_(None), waits <= now))
