"""Idempotency keys: a POST that is sent again makes nothing new and gets its first answer.

The answer is stored in the transaction that makes what it describes, and is given for 24 hours.
Keys of requests in progress are known to one process only and end with it, so a process that dies
leaves no key that cannot be used. If two processes handle one key at once, both make the thing, and
the second to commit finds the key's row: its transaction is rolled back, and the first answer is
sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from pydantic import BaseModel
from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.repositories import idempotency as idempotency_rows
from app.db.tables import IdempotencyKey
from app.errors import ServiceError


class IdempotencyKeyReusedError(ServiceError, status=422, code="idempotency-key-reused"):
    """The key was used for another request."""

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used for another request; use a new one.")


class RequestInProgressError(ServiceError, status=409, code="request-in-progress"):
    """The first request with this key has not been answered yet."""

    def __init__(self) -> None:
        super().__init__(
            "The first request with this Idempotency-Key is in progress; try later.",
            headers={"Retry-After": "1"},
        )


IDEMPOTENCY_ERRORS = (IdempotencyKeyReusedError, RequestInProgressError)


class ReplayedError(Exception):
    """Carries the stored answer past the route to the handler that sends it."""

    def __init__(self, status: int, headers: Mapping[str, str], body: str) -> None:
        super().__init__("answered before")
        self.status, self.headers, self.body = status, headers, body


class RequestsInProgress:
    """The keys of the requests that this process handles now. For the event loop only."""

    def __init__(self) -> None:
        self._fingerprints: dict[tuple[str, str], str] = {}

    def enter(self, workspace: str, key: str, fingerprint: str) -> bool:
        """Take a key; False if it is taken. Raises IdempotencyKeyReusedError."""
        taken = self._fingerprints.get((workspace, key))
        if taken is None:
            self._fingerprints[workspace, key] = fingerprint
        elif taken != fingerprint:
            raise IdempotencyKeyReusedError
        return taken is None

    def leave(self, workspace: str, key: str) -> None:
        """Free a key that was taken."""
        del self._fingerprints[workspace, key]


@dataclass(frozen=True)
class Once:
    """One POST and its key; `key` is None if the client sent none."""

    workspace: str
    key: str | None = None
    fingerprint: str = ""
    begun_at: datetime | None = None

    def store_answer(
        self,
        session: Session,
        status: int,
        body: Any,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Store the answer in the transaction that makes what it describes; no key: do nothing.

        `body` is a pydantic model or plain JSON. Raises RequestInProgressError if another process
        has answered meanwhile; the error rolls this transaction back.
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
            raise RequestInProgressError


def begin(db: Database, workspace: str, key: str, fingerprint: str) -> Once:
    """Begin a request whose key has no answer yet.

    Raises ReplayedError with the stored answer, and IdempotencyKeyReusedError.
    """
    with db.reading() as session:
        now = db.now(session)
        row = idempotency_rows.get(session, workspace, key)
    if row is None or row.created_at < now - idempotency_rows.ANSWER_LIFETIME:
        return Once(workspace, key, fingerprint, now)
    if row.fingerprint != fingerprint:
        raise IdempotencyKeyReusedError
    raise ReplayedError(row.status, row.headers, row.body)
