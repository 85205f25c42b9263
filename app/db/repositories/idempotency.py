"""Queries about answers remembered under an Idempotency-Key."""

from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.db.tables import IdempotencyKey

# How long answers are given again.
KEPT_FOR = timedelta(hours=24)


def get(session: Session, workspace: str, key: str) -> IdempotencyKey | None:
    """Return the key's row."""
    return session.get(IdempotencyKey, (workspace, key))


def delete_old(session: Session, now: datetime) -> None:
    """Forget the answers that are no longer given."""
    session.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at < now - KEPT_FOR))


def add(session: Session, answer: IdempotencyKey) -> bool:
    """Store the answer under its key; False where the key has one that is still given."""
    session.execute(
        delete(IdempotencyKey).where(
            IdempotencyKey.workspace == answer.workspace,
            IdempotencyKey.key == answer.key,
            IdempotencyKey.created_at < answer.created_at - KEPT_FOR,
        )
    )
    try:
        with session.begin_nested():
            session.add(answer)
    except IntegrityError:
        return False
    return True
