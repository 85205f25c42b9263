"""Queries about answers remembered under an Idempotency-Key."""

from datetime import datetime
from typing import Any

from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from app.db.tables import IdempotencyKey


def get(session: Session, workspace: str, key: str) -> IdempotencyKey | None:
    """Return the key's row."""
    return session.get(IdempotencyKey, (workspace, key))


def delete_older(session: Session, moment: datetime) -> None:
    """Forget every key first used before `moment`."""
    session.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at < moment))


def finish(
    session: Session,
    workspace: str,
    key: str,
    begun_at: datetime,
    *,
    status: int,
    headers: dict[str, Any],
    body: str,
) -> bool:
    """Store the answer of the request that began at `begun_at`; False if it lost the key."""
    done = session.execute(
        update(IdempotencyKey)
        .where(
            IdempotencyKey.workspace == workspace,
            IdempotencyKey.key == key,
            IdempotencyKey.created_at == begun_at,
            IdempotencyKey.status.is_(None),
        )
        .values(status=status, headers=headers, body=body)
        .returning(IdempotencyKey.key)
    )
    return done.first() is not None


def release(session: Session, workspace: str, key: str, begun_at: datetime) -> None:
    """Give an unfinished key back."""
    session.execute(
        delete(IdempotencyKey).where(
            IdempotencyKey.workspace == workspace,
            IdempotencyKey.key == key,
            IdempotencyKey.created_at == begun_at,
            IdempotencyKey.status.is_(None),
        )
    )
