"""Keys that make, list and revoke keys: over HTTP, in the workspace of the caller's own key.

A key that another key makes can do no more than its maker, and works no longer: whoever steals a
key for an hour keeps nothing that outlasts it, but for what `created_by` in the list shows.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Self

import structlog
from pydantic import BaseModel, BeforeValidator, Field

from app.db.engine import Database
from app.db.repositories import keys as key_rows
from app.db.tables import ApiKey
from app.errors import FieldError, ServiceError
from app.security import tokens
from app.services.access import keys
from app.services.access.keyring import Caller
from app.services.access.keys import ImagesPerSecond, KeyName, KeySpec, Scope, State
from app.services.requests import RequestBody

_MEGABYTE = 10**6

log = structlog.get_logger(__name__)


class KeysOffError(ServiceError, status=409, code="keys-off"):
    """The service asks for no keys, so that anybody could make one for the day when it does."""

    def __init__(self) -> None:
        super().__init__(
            "Keys are off. Make the first one on the service's machine, with `accrue keys create "
            "NAME --scope admin`, and turn keys on with ACCRUE_KEYS=required."
        )


class KeyNameTakenError(ServiceError, status=409, code="key-name-taken"):
    """A key that is not revoked has this name. Names are unique in the whole installation."""


class KeyNotFoundError(ServiceError, status=404, code="key-not-found"):
    """The workspace has no key of that id or name."""


class KeyBeyondMakerError(ServiceError, status=422, code="key-beyond-maker"):
    """A key may not be given more than the key that makes it has."""


def _each_once(given: Any) -> Any:
    """Refuse what a set would hide."""
    if isinstance(given, list) and len(given) != len({str(each) for each in given}):
        raise ValueError("names a scope twice")
    return given


class NewKey(RequestBody):
    """A key to make. A limit that is null is that of the key that makes it."""

    name: KeyName
    # JSON has lists only.
    scopes: Annotated[frozenset[Scope], BeforeValidator(_each_once)] = Field(
        min_length=1, strict=False
    )
    expires_days: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="Null: as its maker's.",
    )
    images_per_second: ImagesPerSecond | None = None
    waiting_jobs: int | None = Field(None, ge=1, lt=2**53)
    stored_megabytes: int | None = Field(None, ge=1, lt=2**53)


class KeySummary(BaseModel):
    """A key, without what is secret of it."""

    id: str
    name: str
    scopes: list[Scope]
    state: State
    created_at: datetime
    created_by: str | None = Field(description="A key's id; null: made on the service's machine.")
    expires_at: datetime | None = Field(description="Null: never.")
    last_used_at: datetime | None = Field(description="Exact to about a minute.")
    revoked_at: datetime | None

    @classmethod
    def of(cls, row: ApiKey, now: datetime) -> Self:
        """Describe a key."""
        return cls(
            id=row.id,
            name=row.name,
            scopes=row.scopes,
            state=keys.state(row, now),
            created_at=row.created_at,
            created_by=row.created_by,
            expires_at=row.expires_at,
            last_used_at=row.last_used_at,
            revoked_at=row.revoked_at,
        )


class MadeKey(KeySummary):
    """A new key. The key itself is shown this once: only its hash is stored."""

    key: str = Field(description="Send as `Authorization: Bearer`.")


def create(db: Database, caller: Caller, body: NewKey) -> MadeKey:
    """Make a key in the caller's workspace.

    Raises KeysOffError, KeyNameTakenError and KeyBeyondMakerError.
    """
    maker = _key_of(caller)
    _require_within(caller, body)
    spec = KeySpec(**dict(body), workspace=caller.workspace)
    _, token = tokens.new_token()
    try:
        row = keys.create(db, spec, token, created_by=maker)
    except keys.KeyNameTakenError:
        raise KeyNameTakenError(
            f"There is already a key named {body.name}. Choose another name, or revoke it first."
        ) from None
    log.info("key_created", key=row.id, name=row.name, scopes=row.scopes, by=maker)
    return MadeKey(**KeySummary.of(row, row.created_at).model_dump(), key=token)


def page(db: Database, caller: Caller, *, limit: int, after: str | None) -> Sequence[KeySummary]:
    """Return keys of the caller's workspace, the newest first. Raises KeysOffError."""
    _key_of(caller)
    with db.reading() as session:
        now = db.now(session)
        rows = key_rows.page(session, caller.workspace, limit=limit, after=after)
        return [KeySummary.of(row, now) for row in rows]


def get(db: Database, caller: Caller, key: str) -> KeySummary:
    """Return a key of the caller's workspace. Raises KeysOffError and KeyNotFoundError."""
    _key_of(caller)
    with db.reading() as session:
        row = keys.find(session, key, caller.workspace)
        if row is None:
            raise _not_found(key)
        return KeySummary.of(row, db.now(session))


def revoke(db: Database, caller: Caller, key: str) -> None:
    """Revoke a key of the caller's workspace for good, by its id or name.

    Raises KeysOffError and KeyNotFoundError.
    """
    by = _key_of(caller)
    try:
        row = keys.revoke(db, key, caller.workspace)
    except keys.KeyNotFoundError:
        raise _not_found(key) from None
    log.info("key_revoked", key=row.id, name=row.name, by=by)


def _key_of(caller: Caller) -> str:
    if caller.key_id is None:
        raise KeysOffError
    return caller.key_id


def _not_found(key: str) -> KeyNotFoundError:
    return KeyNotFoundError(f"There is no key with the id or name {key}.")


def _require_within(caller: Caller, body: NewKey) -> None:
    """Raise KeyBeyondMakerError if the new key would have more than the caller's."""
    stored, bucket = caller.quota.stored_bytes, caller.bucket
    most = {
        "images_per_second": None if bucket is None else bucket.per_second,
        "waiting_jobs": caller.quota.waiting_jobs,
        "stored_megabytes": None if stored is None else stored // _MEGABYTE,
    }
    given = body.model_dump()
    beyond = [
        FieldError(f"/{name}", f"The limit of the key that makes it is {limit:g}.")
        for name, limit in most.items()
        if limit is not None and (given[name] or 0) > limit
    ]
    if beyond:
        raise KeyBeyondMakerError("A key cannot give another one more than it has.", errors=beyond)
