"""``Idempotency-Key``: the same POST twice makes one thing and gives one answer.

A route that makes something asks for `Idempotency` and hands `once.remember` to its service, which
calls it inside the transaction that makes the thing, so that both exist or neither does:

    @router.post(..., responses=responses(..., *IDEMPOTENCY_ERRORS))
    def create(body: Body, db: DB, workspace: Workspace, once: Idempotency) -> Response:
        return jobs.create(db, ..., on_created=lambda session, view: once.remember(
            session, 202, view, headers={"Location": ...}))

- No header: `remember` does nothing.
- Key answered before: the route does not run; the stored answer is sent again.
- Same key, other method, path, query or body: 422. Same key, still under way here: 409.
- The route fails: nothing was made, and the key is free again.
- The body is streamed: the route asks for `StreamedOnce`, receives the body, and takes the key with
  the body's hash: ``once = await pending.take(digest)``.

What is under way is known to its process alone and ends with it, so a process that dies leaves no
key behind that nobody may use. Should two processes be at work on one key, both make the thing, and
the second to commit finds the key's row: its transaction is rolled back, and the first one's answer
is sent.
"""

import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import orjson
from fastapi import Depends, Header, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel
from sqlalchemy.orm import Session

from app.api.deps import DB, Workspace
from app.db.engine import Database
from app.db.repositories import idempotency as idempotency_rows
from app.db.tables import IdempotencyKey
from app.errors import ServiceError


class IdempotencyKeyReusedError(ServiceError, status=422, code="idempotency-key-reused"):
    """The key was used for another request."""


class RequestInProgressError(ServiceError, status=409, code="request-in-progress"):
    """The first request with this key has not been answered yet."""


_REUSED = "This Idempotency-Key was used for another request."
_UNDER_WAY = "The first request with this key is under way."

IDEMPOTENCY_ERRORS = (IdempotencyKeyReusedError, RequestInProgressError)


class ReplayedError(Exception):
    """Carries the stored answer past the route, to the handler that sends it."""

    def __init__(self, response: Response) -> None:
        super().__init__("answered before")
        self.response = response


async def on_replayed(_request: Request, error: Exception) -> Response:
    """Exception handler: send the stored answer."""
    assert isinstance(error, ReplayedError)  # noqa: S101 - narrows the type
    return error.response


class UnderWay:
    """The keys that this process is at work on. For the event loop alone."""

    def __init__(self) -> None:
        self._fingerprints: dict[tuple[str, str], str] = {}

    def enter(self, workspace: str, key: str, fingerprint: str) -> bool:
        """Take a key; False where it is taken. Raises IdempotencyKeyReusedError."""
        taken = self._fingerprints.get((workspace, key))
        if taken is None:
            self._fingerprints[workspace, key] = fingerprint
        elif taken != fingerprint:
            raise IdempotencyKeyReusedError(_REUSED)
        return taken is None

    def leave(self, workspace: str, key: str) -> None:
        """Free a key that was taken."""
        del self._fingerprints[workspace, key]


@dataclass(frozen=True)
class Once:
    """One POST under its key; `key` is None where the client sent none."""

    workspace: str
    key: str | None = None
    fingerprint: str = ""
    begun_at: datetime | None = None

    def remember(
        self,
        session: Session,
        status: int,
        body: Any,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Store the answer in the transaction that makes what it speaks of.

        `body` is a pydantic model or plain JSON. Raises RequestInProgressError where another
        process was quicker, which ends this transaction.
        """
        if self.key is None or self.begun_at is None:
            return
        text = (
            body.model_dump_json() if isinstance(body, BaseModel) else orjson.dumps(body).decode()
        )
        answer = IdempotencyKey(
            workspace=self.workspace,
            key=self.key,
            fingerprint=self.fingerprint,
            status=status,
            headers=dict(headers or {}),
            body=text,
            created_at=self.begun_at,
        )
        if not idempotency_rows.add(session, answer):
            raise RequestInProgressError(_UNDER_WAY)


def begin(db: Database, workspace: str, key: str, fingerprint: str) -> Once:
    """Begin a request whose key has no answer yet.

    Raises ReplayedError with the answer it has, or IdempotencyKeyReusedError.
    """
    with db.reading() as session:
        now = db.now(session)
        row = idempotency_rows.get(session, workspace, key)
    if row is None or row.created_at < now - idempotency_rows.KEPT_FOR:
        return Once(workspace, key, fingerprint, now)
    if row.fingerprint != fingerprint:
        raise IdempotencyKeyReusedError(_REUSED)
    headers = {**row.headers, "Idempotency-Replayed": "true"}
    raise ReplayedError(
        Response(row.body, row.status, headers=headers, media_type="application/json")
    )


Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="Sent again within 24 hours, the request gets its first answer again.",
    ),
]


class Pending:
    """One POST that takes its key when its body is known; without a key that does nothing."""

    def __init__(
        self, db: Database, under_way: UnderWay, workspace: str, key: str | None, request: Request
    ) -> None:
        self.keyed = key is not None
        self._db, self._under_way = db, under_way
        self._workspace, self._key = workspace, key
        self._target = f"{request.method} {request.url.path}?{request.url.query}\n"
        self._fingerprint: str | None = None  # once the key is taken

    async def take(self, content: bytes) -> Once:
        """Take the key for a request of this content.

        Raises ReplayedError with the stored answer, IdempotencyKeyReusedError,
        RequestInProgressError.
        """
        if self._key is None:
            return Once(self._workspace)
        fingerprint = hashlib.sha256(self._target.encode() + content).hexdigest()
        entered = self._under_way.enter(self._workspace, self._key, fingerprint)
        if entered:
            self._fingerprint = fingerprint
        once = await self._begin(self._key, fingerprint)
        if not entered:
            raise RequestInProgressError(_UNDER_WAY)
        return once

    async def replay(self) -> None:
        """Raise ReplayedError if the key was taken, and has an answer by now."""
        if self._key is not None and self._fingerprint is not None:
            await self._begin(self._key, self._fingerprint)

    def release(self) -> None:
        """Free the key, if it was taken."""
        if self._key is not None and self._fingerprint is not None:
            self._under_way.leave(self._workspace, self._key)

    async def _begin(self, key: str, fingerprint: str) -> Once:
        return await run_in_threadpool(begin, self._db, self._workspace, key, fingerprint)


async def _pending(
    request: Request, db: DB, workspace: Workspace, key: Key = None
) -> AsyncIterator[Pending]:
    pending = Pending(db, request.app.state.under_way, workspace, key, request)
    try:
        yield pending
    except ReplayedError:
        raise
    except Exception:
        # It failed because another process has made the thing meanwhile, perhaps.
        await pending.replay()
        raise
    finally:
        pending.release()


StreamedOnce = Annotated[Pending, Depends(_pending)]


async def _once(request: Request, pending: StreamedOnce) -> Once:
    return await pending.take(await request.body() if pending.keyed else b"")


Idempotency = Annotated[Once, Depends(_once)]
