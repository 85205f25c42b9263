"""What a request's key may do, and what is left of its limits."""

from datetime import UTC, datetime

from pydantic import BaseModel, Field

from app.db.engine import Database
from app.db.repositories import workspaces as workspace_rows
from app.services.access.keyring import Caller


class RateView(BaseModel):
    """A rate limit of predictions."""

    limit: float
    remaining: int
    reset_seconds: int = Field(description="Until one more is let in.")


class QuotaView(BaseModel):
    """A quota, which all keys of the workspace use up together."""

    limit: int
    used: int
    remaining: int


class LimitsView(BaseModel):
    """The limits of a key; null where it has none."""

    images_per_second: RateView | None
    waiting_jobs: QuotaView | None
    stored_bytes: QuotaView | None


class KeyView(BaseModel):
    """The key that a request was sent with."""

    id: str | None
    name: str | None
    workspace: str
    scopes: list[str]
    expires_at: datetime | None
    limits: LimitsView


def view(db: Database, caller: Caller) -> KeyView:
    """Return what the caller's key may do. Only what is limited is counted."""
    expires = None if caller.expires is None else datetime.fromtimestamp(caller.expires, UTC)
    return KeyView(
        id=caller.key_id,
        name=caller.name,
        workspace=caller.workspace,
        scopes=sorted(caller.scopes),
        expires_at=expires,
        limits=_limits(db, caller),
    )


def _limits(db: Database, caller: Caller) -> LimitsView:
    waiting = stored = None
    with db.reading() as session:
        if (limit := caller.quota.waiting_jobs) is not None:
            waiting = _quota(limit, workspace_rows.waiting_jobs(session, caller.workspace))
        if (limit := caller.quota.stored_bytes) is not None:
            stored = _quota(limit, workspace_rows.stored_bytes(session, caller.workspace))
    bucket = caller.bucket
    rate = bucket and RateView(
        limit=bucket.per_second,
        remaining=bucket.remaining,
        reset_seconds=bucket.seconds_to_wait,
    )
    return LimitsView(images_per_second=rate, waiting_jobs=waiting, stored_bytes=stored)


def _quota(limit: int, used: int) -> QuotaView:
    return QuotaView(limit=limit, used=used, remaining=max(0, limit - used))
