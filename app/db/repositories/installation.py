"""Queries about this database itself: its identity, and whose turn it is to sweep."""

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.db.tables import Installation
from app.ids import new_id


def identity(session: Session) -> str | None:
    """Return what tells this database from others, None where it has no identity yet."""
    return session.scalar(select(Installation.id))


def ensure_identity(session: Session, now: datetime) -> str:
    """Return the database's identity, made where there is none; the first sweep is due at once."""
    row = {"number": 1, "id": new_id("ins"), "sweep_due_at": now}
    dialect = session.get_bind().dialect.name
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    session.execute(insert(Installation).on_conflict_do_nothing(), row)
    found = identity(session)
    assert found is not None  # noqa: S101 - inserted above
    return found


def sweep_due_at(session: Session) -> datetime | None:
    """Return when the storage is to be swept next, None where there is no identity yet."""
    return session.scalar(select(Installation.sweep_due_at))


def take_sweep(session: Session, now: datetime, *, next_at: datetime) -> bool:
    """Take the sweep that is due, for one process alone; False where another has it."""
    taken = session.scalar(
        update(Installation)
        .where(Installation.sweep_due_at <= now)
        .values(sweep_due_at=next_at)
        .returning(Installation.id)
    )
    return taken is not None


def put_back_sweep(session: Session, next_at: datetime, due_at: datetime) -> None:
    """Say that the sweep that was taken is still due, unless another has been taken since."""
    session.execute(
        update(Installation).where(Installation.sweep_due_at == next_at).values(sweep_due_at=due_at)
    )
