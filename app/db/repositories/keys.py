"""Queries about keys."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from app.db.tables import ApiKey


def every(session: Session) -> Sequence[ApiKey]:
    """Return all keys, also revoked and expired ones, oldest first."""
    return session.scalars(select(ApiKey).order_by(ApiKey.id)).all()


def page(session: Session, workspace: str, *, limit: int, after: str | None) -> Sequence[ApiKey]:
    """Return up to `limit` keys of a workspace, the newest first, older than the id `after`."""
    query = select(ApiKey).where(ApiKey.workspace == workspace)
    if after is not None:
        query = query.where(ApiKey.id < after)
    return session.scalars(query.order_by(ApiKey.id.desc()).limit(limit)).all()


def usable(session: Session, *, now: datetime) -> Sequence[ApiKey]:
    """Return the keys that are neither revoked nor expired, oldest first."""
    unexpired = or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now)
    query = select(ApiKey).where(ApiKey.revoked_at.is_(None), unexpired)
    return session.scalars(query.order_by(ApiKey.id)).all()


def get(session: Session, key_id: str) -> ApiKey | None:
    """Return the key of that id."""
    return session.get(ApiKey, key_id)


def named(session: Session, name: str) -> ApiKey | None:
    """Return the key of that name that is not revoked, else the newest revoked one."""
    query = select(ApiKey).where(ApiKey.name == name)
    return session.scalar(query.order_by(ApiKey.revoked_at.is_not(None), ApiKey.id.desc()))


def record_used(session: Session, key_ids: Collection[str], *, now: datetime) -> None:
    """Record that the keys were used."""
    session.execute(update(ApiKey).where(ApiKey.id.in_(key_ids)).values(last_used_at=now))
