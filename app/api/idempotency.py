"""The header ``Idempotency-Key``: the same POST twice makes one thing and gives one answer.

A route that makes something asks for `Idempotency` and hands `once.store_answer` to its service,
which calls it inside the transaction that makes the thing, so that both exist or neither does:

    @router.post(..., responses=responses(..., *IDEMPOTENCY_ERRORS))
    def create(body: Body, db: DB, workspace: Workspace, once: Idempotency) -> Response:
        return jobs.create(db, ..., on_created=lambda session, view: once.store_answer(
            session, 202, view, headers={"Location": ...}))

- No header: `store_answer` does nothing.
- Key answered before: the route does not run; the stored answer is sent again.
- Same key with another method, path, query or body: 422. Same key, still in progress here: 409.
- The route fails: nothing was made, and the key is free again.
- The body is streamed: the route asks for `StreamedOnce`, receives the body, and takes the key with
  the body's hash: ``once = await pending.take(digest)``.
"""

import hashlib
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Header, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import StringConstraints

from app.api.deps import DB, InProgress, Workspace
from app.db.engine import Database
from app.services.access.idempotency import (
    Once,
    ReplayedError,
    RequestInProgressError,
    RequestsInProgress,
    begin,
)
from app.services.requests import Matching


async def on_replayed(_request: Request, error: Exception) -> Response:
    """Exception handler: send the stored answer."""
    assert isinstance(error, ReplayedError)  # noqa: S101 - narrows the type
    headers = {**error.headers, "Idempotency-Replayed": "true"}
    return Response(error.body, error.status, headers=headers, media_type="application/json")


Key = Annotated[
    Annotated[
        str,
        StringConstraints(min_length=1, max_length=255),
        Matching(
            r"[\x21-\x7e]+", "An Idempotency-Key has visible characters of ASCII, without spaces."
        ),
    ]
    | None,
    Header(
        alias="Idempotency-Key",
        description="Sent again within 24 hours, it gets the first answer again.",
    ),
]


class Pending:
    """One POST that takes its key as soon as its body is known. Without a key it takes nothing."""

    def __init__(
        self,
        db: Database,
        in_progress: RequestsInProgress,
        workspace: str,
        key: str | None,
        request: Request,
    ) -> None:
        self.keyed = key is not None
        self._db, self._in_progress = db, in_progress
        self._workspace, self._key = workspace, key
        self._target = f"{request.method} {request.url.path}?{request.url.query}\n"
        self._fingerprint: str | None = None  # once the key is taken

    async def take(self, content: bytes) -> Once:
        """Take the key for a request with this content.

        Raises ReplayedError with the stored answer, IdempotencyKeyReusedError,
        RequestInProgressError.
        """
        if self._key is None:
            return Once(self._workspace)
        fingerprint = hashlib.sha256(self._target.encode() + content).hexdigest()
        entered = self._in_progress.enter(self._workspace, self._key, fingerprint)
        if entered:
            self._fingerprint = fingerprint
        once = await self._begin(self._key, fingerprint)
        if not entered:
            raise RequestInProgressError
        return once

    async def replay(self) -> None:
        """Raise ReplayedError if the key was taken and has an answer by now."""
        if self._key is not None and self._fingerprint is not None:
            await self._begin(self._key, self._fingerprint)

    def release(self) -> None:
        """Free the key if it was taken."""
        if self._key is not None and self._fingerprint is not None:
            self._in_progress.leave(self._workspace, self._key)

    async def _begin(self, key: str, fingerprint: str) -> Once:
        return await run_in_threadpool(begin, self._db, self._workspace, key, fingerprint)


async def _pending(
    request: Request, db: DB, in_progress: InProgress, workspace: Workspace, key: Key = None
) -> AsyncIterator[Pending]:
    pending = Pending(db, in_progress, workspace, key, request)
    try:
        yield pending
    except ReplayedError:
        raise
    except Exception:
        # Perhaps it failed because another process has made the thing meanwhile.
        await pending.replay()
        raise
    finally:
        pending.release()


StreamedOnce = Annotated[Pending, Depends(_pending)]


async def _once(request: Request, pending: StreamedOnce) -> Once:
    return await pending.take(await request.body() if pending.keyed else b"")


Idempotency = Annotated[Once, Depends(_once)]
