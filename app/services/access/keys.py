"""Make, list and revoke keys. `keyring` decides what a request may do with one."""

from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field, StringConstraints
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.repositories import keys as key_rows
from app.db.rows import insert
from app.db.tables import DEFAULT_WORKSPACE, ApiKey
from app.security import tokens
from app.services.requests import NAME, Matching, RequestBody

Scope = Literal["predict", "train", "admin", "metrics"]
State = Literal["active", "expired", "revoked"]
KeyName = Annotated[
    str,
    StringConstraints(max_length=100),
    Matching(
        "[A-Za-z0-9][A-Za-z0-9._@-]*",
        "A key's name has only the letters A to Z and a to z, digits, dots, hyphens, underscores "
        "and @, and begins with a letter or digit.",
    ),
]
WorkspaceName = Annotated[str, StringConstraints(max_length=64), NAME]


class KeyNameTakenError(Exception):
    """A key that is not revoked has this name."""


class KeyNotFoundError(Exception):
    """No key has that id or name."""


# Far slower or faster ones overflow what clients are told of them.
ImagesPerSecond = Annotated[float, Field(ge=0.001, le=1e6)]


class KeySpec(RequestBody):
    """The properties of a new key. Limits that are None come from the settings."""

    name: KeyName
    scopes: frozenset[Scope] = Field(min_length=1, strict=False)  # commands bring a list
    workspace: WorkspaceName = DEFAULT_WORKSPACE
    expires_days: int | None = Field(None, ge=1, le=100_000)
    images_per_second: ImagesPerSecond | None = None
    waiting_jobs: int | None = Field(None, ge=1, lt=2**53)
    stored_megabytes: int | None = Field(None, ge=1, lt=2**53)


def grants(held: Collection[str], wanted: Iterable[str]) -> bool:
    """Say whether the scopes held include one of those wanted, or `admin`."""
    return "admin" in held or any(scope in held for scope in wanted)


def find_usable(db: Database, spec: KeySpec) -> ApiKey | None:
    """Return a usable key of the spec's workspace that has all of the spec's scopes."""
    with db.reading() as session:
        for row in key_rows.usable(session, now=db.now(session)):
            if row.workspace == spec.workspace and all(
                grants(row.scopes, [scope]) for scope in spec.scopes
            ):
                return row
    return None


def create(
    db: Database,
    spec: KeySpec,
    token: str,
    hand_over: Callable[[], None] = lambda: None,
    *,
    created_by: str | None = None,
) -> ApiKey:
    """Store the key that `tokens.new_token` made.

    `hand_over` shows the key to its user. It is called just before the commit, so that no stored
    key is unknown to its user. With the id of the key that makes it, in `created_by`, it has that
    key's own limits where the spec has none, and ends when that key does, if not before.
    Raises KeyNameTakenError.
    """
    key_id = tokens.id_of(token)
    assert key_id is not None  # noqa: S101 - narrows the type
    try:
        with db.transaction() as session:
            now = db.now(session)
            row = ApiKey(
                **spec.model_dump(exclude={"scopes", "expires_days"}),
                id=key_id,
                digest=tokens.digest(token),
                scopes=sorted(spec.scopes),
                created_at=now,
                created_by=created_by,
                expires_at=spec.expires_days and now + timedelta(days=spec.expires_days),
            )
            if created_by is not None and (maker := key_rows.get(session, created_by)):
                _bind(row, maker)
            insert(session, row)
            hand_over()
    except IntegrityError:
        raise KeyNameTakenError from None
    return row


def _bind(row: ApiKey, maker: ApiKey) -> None:
    for limit in ("images_per_second", "waiting_jobs", "stored_megabytes"):
        if getattr(row, limit) is None:
            setattr(row, limit, getattr(maker, limit))
    ends = [each.expires_at for each in (row, maker) if each.expires_at is not None]
    row.expires_at = min(ends, default=None)


def every(db: Database) -> list[ApiKey]:
    """Return all keys, oldest first."""
    with db.reading() as session:
        return list(key_rows.every(session))


def state(row: ApiKey, now: datetime) -> State:
    """Return the state of a key."""
    if row.revoked_at is not None:
        return "revoked"
    return "expired" if row.expires_at is not None and row.expires_at <= now else "active"


def state_of(db: Database, key_id: str) -> State | None:
    """Return the state of the key of that id, None if none was ever stored."""
    with db.reading() as session:
        row = key_rows.get(session, key_id)
        return None if row is None else state(row, db.now(session))


def find(session: Session, reference: str, workspace: str | None = None) -> ApiKey | None:
    """Return the key of an id or name; of a workspace, if one is given."""
    row = key_rows.get(session, reference) or key_rows.named(session, reference)
    return None if row is None or workspace not in (None, row.workspace) else row


def revoke(db: Database, reference: str, workspace: str | None = None) -> ApiKey:
    """Revoke a key by its id or name, once only. Raises KeyNotFoundError.

    With a workspace, keys of others do not exist.
    """
    with db.transaction() as session:
        row = find(session, reference, workspace)
        if row is None:
            raise KeyNotFoundError
        if row.revoked_at is None:
            row.revoked_at = db.now(session)
        return row
