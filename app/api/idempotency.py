"""``Idempotency-Key``: the same POST twice makes one thing and gives one answer.

A route that makes something asks for `Idempotency` and hands `once.remember` to its service, which
calls it inside the transaction that makes the thing, so that both exist or neither does:

    @router.post(..., responses=responses(..., *IDEMPOTENCY_ERRORS))
    def create(body: Body, db: DB, workspace: Workspace, once: Idempotency) -> Response:
        return jobs.create(db, ..., on_created=lambda session, view: once.remember(
            session, 202, view, headers={"Location": ...}))

- No header: `remember` does nothing.
- Key answered before: the route does not run; the stored answer is sent again.
- Same key, other method, path, query or body: 422. Same key, still under way: 409.
- The route fails: the key is free again, since nothing was made.
- The body is streamed: the route asks for `StreamedOnce`, receives the body, and takes the key with
  the body's hash: ``once = await pending.take(digest)``.
- The process dies: the key is free after `ABANDONED_AFTER`. Should the first request live after
  all, its `remember` fails and takes its transaction with it.
"""

import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar

import orjson
from fastapi import Depends, Header, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.api.deps import DB, Workspace
from app.db.engine import Database
from app.db.repositories import idempotency as keys
from app.db.tables import IdempotencyKey
from app.services.errors import ServiceError

KEPT_FOR = timedelta(hours=24)
ABANDONED_AFTER = timedelta(minutes=10)


class IdempotencyKeyReusedError(ServiceError):
    """The key was used for another request."""

    status: ClassVar[int] = 422
    code: ClassVar[str] = "idempotency-key-reused"
    title: ClassVar[str] = "Idempotency key reused"


class RequestInProgressError(ServiceError):
    """The first request with this key has not been answered yet."""

    status: ClassVar[int] = 409
    code: ClassVar[str] = "request-in-progress"
    title: ClassVar[str] = "Request in progress"


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


@dataclass(frozen=True)
class Once:
    """One POST under its key; `key` is None where the client sent none."""

    workspace: str
    key: str | None = None
    begun_at: datetime | None = None

    def remember(
        self,
        session: Session,
        status: int,
        body: Any,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Store the answer in the transaction that makes what it speaks of.

        `body` is a pydantic model or plain JSON. Raises RequestInProgressError when this request
        took so long that another one with the same key was let in.
        """
        if self.key is None or self.begun_at is None:
            return
        text = (
            body.model_dump_json() if isinstance(body, BaseModel) else orjson.dumps(body).decode()
        )
        stored = keys.finish(
            session,
            self.workspace,
            self.key,
            self.begun_at,
            status=status,
            headers=dict(headers or {}),
            body=text,
        )
        if not stored:
            raise RequestInProgressError("Another request with this key was let in meanwhile.")


def begin(db: Database, workspace: str, key: str, fingerprint: str) -> Once:
    """Take the key for one request.

    Raises ReplayedError with the stored answer, IdempotencyKeyReusedError, RequestInProgressError.
    """
    try:
        with db.transaction() as session:
            now = db.now(session)
            keys.delete_older(session, now - KEPT_FOR)
            row = keys.get(session, workspace, key)
            if row is not None:
                _check(row, fingerprint, now)
                row.created_at = now
            else:
                session.add(
                    IdempotencyKey(
                        workspace=workspace, key=key, fingerprint=fingerprint, created_at=now
                    )
                )
    except IntegrityError:  # another request inserted the key between our look and our insert
        raise RequestInProgressError("The first request with this key is under way.") from None
    return Once(workspace, key, now)


def _check(row: IdempotencyKey, fingerprint: str, now: datetime) -> None:
    """Return only when the key's earlier request was abandoned."""
    if row.fingerprint != fingerprint:
        raise IdempotencyKeyReusedError("This Idempotency-Key was used for another request.")
    if row.status is not None:
        headers = {**(row.headers or {}), "Idempotency-Replayed": "true"}
        raise ReplayedError(
            Response(row.body, row.status, headers=headers, media_type="application/json")
        )
    if now - row.created_at < ABANDONED_AFTER:
        raise RequestInProgressError("The first request with this key is under way.")


def release(db: Database, once: Once) -> None:
    """Free the key of a request that made nothing."""
    if once.key is None or once.begun_at is None:
        return
    with db.transaction() as session:
        keys.release(session, once.workspace, once.key, once.begun_at)


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

    def __init__(self, db: Database, workspace: str, key: str | None, request: Request) -> None:
        self.keyed = key is not None
        self._db = db
        self._workspace = workspace
        self._key = key
        self._target = f"{request.method} {request.url.path}?{request.url.query}\n"
        self._once = Once(workspace)

    async def take(self, content: bytes) -> Once:
        """Take the key for a request of this content. Raises what `begin` raises."""
        if self._key is not None:
            fingerprint = hashlib.sha256(self._target.encode() + content).hexdigest()
            self._once = await run_in_threadpool(
                begin, self._db, self._workspace, self._key, fingerprint
            )
        return self._once

    async def release(self) -> None:
        """Free the key, if it was taken. Once remembered, the answer stays."""
        await run_in_threadpool(release, self._db, self._once)


async def _pending(
    request: Request, db: DB, workspace: Workspace, key: Key = None
) -> AsyncIterator[Pending]:
    pending = Pending(db, workspace, key, request)
    try:
        yield pending
    finally:
        if pending.keyed:
            await pending.release()


StreamedOnce = Annotated[Pending, Depends(_pending)]


async def _once(request: Request, pending: StreamedOnce) -> Once:
    return await pending.take(await request.body() if pending.keyed else b"")


Idempotency = Annotated[Once, Depends(_once)]
