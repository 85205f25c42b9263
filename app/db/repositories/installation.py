"""Queries about this database itself: its identity, and when it sweeps next."""

from datetime import datetime

from sqlalchemy import select, update
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


def take_sweep(session: Session, now: datetime, *, next_at: datetime) -> bool:
    """Claim the sweep that is due for this process; False where another process has it."""
    taken = session.scalar(
        update(Installation)
        .where(Installation.sweep_due_at <= now)
        .values(sweep_due_at=next_at)
        .returning(Installation.id)
    )
    return taken is not None


def put_back_sweep(session: Session, next_at: datetime, due_at: datetime) -> None:
    """Make the claimed sweep due again, unless another has been claimed since."""
    session.execute(
        update(Installation).where(Installation.sweep_due_at == next_at).values(sweep_due_at=due_at)
    )
