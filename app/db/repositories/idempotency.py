"""Queries about idempotency keys and the answers stored under them."""

from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.db.tables import IdempotencyKey

# How long an answer is given again.
ANSWER_LIFETIME = timedelta(hours=24)


def get(session: Session, workspace: str, key: str) -> IdempotencyKey | None:
    """Return the key's row."""
    return session.get(IdempotencyKey, (workspace, key))


def delete_old(session: Session, now: datetime) -> None:
    """Delete the answers that are no longer given."""
    session.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at < now - ANSWER_LIFETIME))


def add(session: Session, answer: IdempotencyKey) -> bool:
    """Store an answer under its key; False if the key has one that is still given."""
    session.execute(
        delete(IdempotencyKey).where(
            IdempotencyKey.workspace == answer.workspace,
            IdempotencyKey.key == answer.key,
            IdempotencyKey.created_at < answer.created_at - ANSWER_LIFETIME,
        )
    )
    try:
        with session.begin_nested():
            session.add(answer)
    except IntegrityError:
        return False
    return True
