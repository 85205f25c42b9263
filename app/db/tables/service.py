"""Rows about the service itself: this installation, its workers, idempotency keys."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db.tables.base import Base


class Installation(Base):
    """One row about this database: the id by which a storage knows it, and its next sweep."""

    __tablename__ = "installation"
    __table_args__ = (CheckConstraint("number = 1", name="one_row"),)

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, default=1)
    id: Mapped[str] = mapped_column(String(64))
    sweep_due_at: Mapped[datetime]
    # Sweeps in a row that failed or could not delete something, the last one's error, and when the
    # next may be tried.
    sweep_failures: Mapped[int] = mapped_column(default=0, server_default="0")
    sweep_not_before: Mapped[datetime | None]
    sweep_error: Mapped[str | None]
    # Unneeded blobs that the last sweep found and could not delete.
    undeleted_blobs: Mapped[int] = mapped_column(default=0, server_default="0")


class Worker(Base):
    """A worker process: where it runs and when it was last seen."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    host: Mapped[str]
    pid: Mapped[int]
    queues: Mapped[list[Any]]
    device: Mapped[str]
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]


class IdempotencyKey(Base):
    """The answer given to a POST that carried an Idempotency-Key."""

    __tablename__ = "idempotency_keys"

    workspace: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    # SHA-256 of method, path and body.
    fingerprint: Mapped[str] = mapped_column(String(64))
    status: Mapped[int]
    headers: Mapped[dict[str, Any]]
    body: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(index=True)
