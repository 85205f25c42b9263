"""The keys that are good now, in memory: no request waits for the database to be let in.

All keys are read again every two seconds, so a revoked one is refused within five. A key that is
not among them may have been made just now: then they are read at once, but a few times a second at
most, whoever sends whatever. While the database cannot be reached, the keys that were known stay
good for an hour, so that what is loaded is served on.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.db.engine import Database
from app.db.repositories import keys as key_rows
from app.db.tables import DEFAULT_WORKSPACE, ApiKey
from app.errors import ServiceError
from app.security import tokens
from app.services.access.keys import grants
from app.services.access.limits import NO_QUOTA, Quota, Rate
from app.settings import Settings

_LOOK_SECONDS = 2.0
# Between two looks for keys that are not known.
_GAP_SECONDS = 0.25
_TRUSTED_SECONDS = 3600.0
# How exact `last_used_at` is.
_NOTE_SECONDS = 60.0
_MEGABYTE = 10**6

T = TypeVar("T")

log = structlog.get_logger(__name__)


class UnauthorizedError(ServiceError, status=401, code="unauthorized"):
    """The request has no key that is good here."""

    def __init__(self, detail: str, *, given: bool) -> None:
        challenge = 'Bearer realm="accrue"' + (', error="invalid_token"' if given else "")
        super().__init__(detail, headers={"WWW-Authenticate": challenge})


class MissingScopeError(ServiceError, status=403, code="missing-scope"):
    """The key is good, but not for this."""


# How often whoever is answered for long is asked whether the key is still good.
KEY_SECONDS = 2.5


@dataclass(eq=False, slots=True)
class Caller:
    """Who asks: a key that was good when the request came, or anybody where keys are off."""

    workspace: str
    scopes: frozenset[str]
    key_id: str | None = None
    quota: Quota = NO_QUOTA
    rate: Rate | None = None
    # In seconds since 1970.
    expires: float | None = None
    digest: str = field(default="", repr=False)
    revoked: bool = False

    @property
    def ended(self) -> bool:
        """Whether the key has been revoked or has expired since."""
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


# Where keys are off, whoever reaches the service may do everything.
ANYBODY = Caller(workspace=DEFAULT_WORKSPACE, scopes=frozenset({"admin"}))


class KeyRing:
    """Tells callers by their keys. Everything but the reading runs in one event loop."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self._db = db
        self._settings = settings
        self._callers: dict[str, Caller] = {}
        # When the look began that last came back.
        self._read_at = -_TRUSTED_SECONDS
        self._looking = asyncio.Lock()
        self._used: set[str] = set()

    async def caller(self, authorization: str | None) -> Caller:
        """Return whose key an Authorization header holds. Raises UnauthorizedError."""
        if authorization is None:
            raise UnauthorizedError("Send a key: `Authorization: Bearer acr_…`.", given=False)
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        key_id = tokens.id_of(token)
        if scheme.lower() != "bearer" or key_id is None:
            raise UnauthorizedError(
                "The Authorization header holds no key: it is `Bearer acr_…`.", given=True
            )
        found = await self._find(key_id)
        if found is None or found.ended or not tokens.matches(token, found.digest):
            raise UnauthorizedError(
                "There is no such key, or it was revoked, or it has expired.", given=True
            )
        self._used.add(key_id)
        return found

    async def run(self) -> None:
        """Keep up with the database, until cancelled."""
        if await self._follow() and not self._callers:
            log.warning("there_is_no_key", make_one="accrue keys create NAME --scope admin")
        noted_at = time.monotonic()
        try:
            while True:
                await asyncio.sleep(_LOOK_SECONDS)
                await self._follow()
                if time.monotonic() - noted_at >= _NOTE_SECONDS:
                    noted_at = time.monotonic()
                    await self._note_used()
        finally:
            await self._note_used()

    async def _find(self, key_id: str) -> Caller | None:
        asked = time.monotonic()
        if key_id in self._callers and asked - self._read_at < _TRUSTED_SECONDS:
            return self._callers[key_id]
        async with self._looking:
            # Whoever waited here may have been answered by the look before.
            if self._read_at < asked:
                await asyncio.sleep(max(0.0, self._read_at + _GAP_SECONDS - time.monotonic()))
                await self._look()
        return self._callers.get(key_id)

    async def _follow(self) -> bool:
        """Look, and say whether that worked."""
        try:
            async with self._looking:
                await self._look()
            return True
        except SQLAlchemyError as error:
            log.warning("keys_not_read", error=str(error))
        except Exception:  # whatever it is, revoked keys go on being looked for
            log.exception("keys_not_read")
        return False

    async def _look(self) -> None:
        begun = time.monotonic()
        rows = await asyncio.to_thread(self._usable)
        # What is known stays the same object: requests under way, and its rate, hang on it.
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
            quota=Quota(
                waiting_jobs=_first(row.waiting_jobs, settings.key_waiting_jobs),
                stored_bytes=None if megabytes is None else megabytes * _MEGABYTE,
            ),
            rate=None if rate is None else Rate(rate),
            expires=None if row.expires_at is None else row.expires_at.timestamp(),
            digest=row.digest,
        )

    async def _note_used(self) -> None:
        used, self._used = self._used, set()
        if not used:
            return
        try:
            await asyncio.to_thread(self._write_used, used)
        except SQLAlchemyError as error:
            self._used |= used
            log.warning("key_use_not_noted", error=str(error))

    def _write_used(self, used: set[str]) -> None:
        with self._db.transaction() as session:
            key_rows.record_used(session, used, now=self._db.now(session))


def _first(own: T | None, default: T | None) -> T | None:
    return default if own is None else own
