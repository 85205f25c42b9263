"""A cache of all usable keys, so that requests are let in without the database.

The cache polls the database every two seconds, so a revoked key is refused within five. A key that
is not in the cache may be new: then all keys are read at once, but a few times a second at most,
whatever clients send. While the database cannot be reached, cached keys stay good for an hour, so
that loaded versions can still be served.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.db.engine import Database
from app.db.repositories import keys as key_rows
from app.db.tables import DEFAULT_WORKSPACE, ApiKey
from app.errors import ServiceError
from app.security import tokens
from app.services.access import tickets
from app.services.access.keys import grants
from app.services.access.limits import NO_QUOTA, Quota, TokenBucket
from app.settings import Settings

_POLL_SECONDS = 2.0
# Throttle: the shortest time between two reads because of keys that are not in the cache.
_GAP_SECONDS = 0.25
_TRUSTED_SECONDS = 3600.0
# How exact `last_used_at` is.
_RECORD_SECONDS = 60.0
_MEGABYTE = 10**6

T = TypeVar("T")

log = structlog.get_logger(__name__)


class UnauthorizedError(ServiceError, status=401, code="unauthorized"):
    """The request has no key that is good here."""

    def __init__(self, detail: str, *, given: bool) -> None:
        challenge = 'Bearer realm="accrue"' + (', error="invalid_token"' if given else "")
        super().__init__(detail, headers={"WWW-Authenticate": challenge})


class MissingScopeError(ServiceError, status=403, code="missing-scope"):
    """The key is good, but lacks a scope that this needs."""


# How often a long answer, such as a stream, checks that its caller's key is still good.
KEY_SECONDS = 2.5


@dataclass(eq=False, slots=True)
class Caller:
    """Who sent a request: a key that was good then, or anybody if keys are off."""

    workspace: str
    scopes: frozenset[str]
    key_id: str | None = None
    name: str | None = None
    quota: Quota = NO_QUOTA
    bucket: TokenBucket | None = None
    # In seconds since 1970.
    expires: float | None = None
    digest: str = field(default="", repr=False)
    revoked: bool = False

    @property
    def ended(self) -> bool:
        """Whether the key has been revoked or has expired."""
        return self.revoked or (self.expires is not None and time.time() >= self.expires)

    def may(self, *scopes: str) -> bool:
        """Say whether the key has one of the scopes, or `admin`."""
        return grants(self.scopes, scopes)

    def require(self, *scopes: str) -> None:
        """Raise MissingScopeError unless the key has one of the scopes, or `admin`."""
        if not self.may(*scopes):
            raise MissingScopeError(
                f"This needs a key with the scope {' or '.join(dict.fromkeys((*scopes, 'admin')))}."
            )

    def require_operator(self) -> None:
        """Raise MissingScopeError unless the key is the operator's: it may see all workspaces."""
        self.require("admin")
        if self.workspace != DEFAULT_WORKSPACE:
            raise MissingScopeError(
                "This shows the whole installation, and needs a key with the scope admin of the "
                f"workspace {DEFAULT_WORKSPACE}."
            )


# With keys off, anybody who reaches the service may do everything.
ANYBODY = Caller(workspace=DEFAULT_WORKSPACE, scopes=frozenset({"admin"}))


class KeyRing:
    """Finds callers by their keys. Runs in one event loop, and reads the database in a thread."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._settings = settings
        self._callers: dict[str, Caller] = {}
        # When the last successful read began.
        self._read_at = -_TRUSTED_SECONDS
        self._reading = asyncio.Lock()
        self._used: set[str] = set()

    async def caller(self, authorization: str | None) -> Caller:
        """Return the caller of the key in an Authorization header. Raises UnauthorizedError."""
        if authorization is None:
            raise UnauthorizedError("Send a key: `Authorization: Bearer acr_…`.", given=False)
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        key_id = tokens.id_of(token)
        if scheme.lower() != "bearer" or key_id is None:
            raise UnauthorizedError(
                "The Authorization header holds no key. Send `Bearer acr_…`.", given=True
            )
        found = await self._find(key_id)
        if found is None or found.ended or not tokens.matches(token, found.digest):
            raise UnauthorizedError(
                "The key does not exist, was revoked or has expired. Ask for a new one.",
                given=True,
            )
        self._used.add(key_id)
        return found

    async def ticket_holder(self, text: str, job_id: str) -> Caller:
        """Return the caller whose key signed a ticket for a job. Raises UnauthorizedError."""
        ticket = tickets.read(text)
        found = await self._find(ticket.key_id) if ticket else None
        if (
            ticket is None
            or found is None
            or found.ended
            or not ticket.signed(found.digest, job_id, datetime.now(UTC))
        ):
            raise UnauthorizedError(
                "The ticket is not for this job, or has ended, or its key has. Ask for a new one: "
                "POST /v1/jobs/{job_id}/tickets.",
                given=True,
            )
        return found

    async def run(self) -> None:
        """Poll the database until cancelled."""
        if await self._poll() and not self._callers:
            log.warning("there_is_no_key", make_one="accrue keys create NAME --scope admin")
        recorded_at = time.monotonic()
        try:
            while True:
                await asyncio.sleep(_POLL_SECONDS)
                await self._poll()
                if time.monotonic() - recorded_at >= _RECORD_SECONDS:
                    recorded_at = time.monotonic()
                    await self._record_used()
        finally:
            await self._record_used()

    def take_spent(self) -> dict[str, int]:
        """Return the images that keys with a rate limit have spent here since the last call."""
        limited = {key_id: each.bucket for key_id, each in self._callers.items() if each.bucket}
        return {key_id: n for key_id, bucket in limited.items() if (n := bucket.take_untold())}

    def spent_elsewhere(self, spent: Mapping[str, int]) -> None:
        """Take what other processes have let keys spend, by their ids, from the same limits."""
        for key_id, images in spent.items():
            found = self._callers.get(key_id)
            if found is not None and found.bucket is not None:
                found.bucket.spent_elsewhere(images)

    async def _find(self, key_id: str) -> Caller | None:
        asked = time.monotonic()
        if key_id in self._callers and asked - self._read_at < _TRUSTED_SECONDS:
            return self._callers[key_id]
        async with self._reading:
            # While this one waited for the lock, another request may have read the keys.
            if self._read_at < asked:
                await asyncio.sleep(max(0.0, self._read_at + _GAP_SECONDS - time.monotonic()))
                await self._read()
        return self._callers.get(key_id)

    async def _poll(self) -> bool:
        """Read the keys once, and say whether that succeeded."""
        try:
            async with self._reading:
                await self._read()
            return True
        except SQLAlchemyError as error:
            log.warning("keys_not_read", error=error)
        except Exception:  # no error may end the polling, or revoked keys would stay good
            log.exception("keys_not_read")
        return False

    async def _read(self) -> None:
        begun = time.monotonic()
        rows = await asyncio.to_thread(self._usable)
        # Keep the existing Caller of a known key: running requests and its bucket refer to it.
        callers = {row.id: self._callers.get(row.id) or self._caller(row) for row in rows}
        for key_id in self._callers.keys() - callers.keys():
            self._callers[key_id].revoked = True
        self._callers, self._read_at = callers, begun

    def _usable(self) -> list[ApiKey]:
        with self._db.reading() as session:
            return list(key_rows.usable(session, now=self._db.now(session)))

    def _caller(self, row: ApiKey) -> Caller:
        settings = self._settings
        rate = _first(row.images_per_second, settings.key_images_per_second)
        megabytes = _first(row.stored_megabytes, settings.key_stored_megabytes)
        return Caller(
            workspace=row.workspace,
            scopes=frozenset(row.scopes),
            key_id=row.id,
            name=row.name,
            quota=Quota(
                waiting_jobs=_first(row.waiting_jobs, settings.key_waiting_jobs),
                stored_bytes=None if megabytes is None else megabytes * _MEGABYTE,
            ),
            bucket=None if rate is None else TokenBucket(rate),
            expires=None if row.expires_at is None else row.expires_at.timestamp(),
            digest=row.digest,
        )

    async def _record_used(self) -> None:
        used, self._used = self._used, set()
        if not used:
            return
        try:
            await asyncio.to_thread(self._write_used, used)
        except SQLAlchemyError as error:
            self._used |= used
            log.warning("key_use_not_noted", error=error)

    def _write_used(self, used: set[str]) -> None:
        with self._db.transaction() as session:
            key_rows.record_used(session, used, now=self._db.now(session))


def _first(own: T | None, default: T | None) -> T | None:
    return default if own is None else own
