"""Polling for changes of jobs: one short query a tick serves all event streams of a process.

A waiting stream holds no thread and no database connection. Everything here runs in one event loop.
"""

import asyncio
from collections.abc import Callable, Collection
from typing import NamedTuple

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.db.engine import Database
from app.db.repositories import events as event_rows
from app.db.repositories.events import JobHead
from app.errors import ServiceError
from app.services.jobs.views import JobView

_POLL_SECONDS = 0.25

log = structlog.get_logger(__name__)


class TooManyStreamsError(ServiceError, status=503, code="too-many-streams"):
    """This process has as many open streams as it may have."""


class _Wait(NamedTuple):
    job_id: str
    is_over: Callable[[JobHead], bool]


class EventPoller:
    """Wakes the streams and requests that wait for a job, and counts the streams."""

    def __init__(self, db: Database, limit: int) -> None:
        """`limit` is how many streams may be open."""
        self._db = db
        self._limit = limit
        self._waiting: dict[asyncio.Future[bool], _Wait] = {}
        self._any_waiting = asyncio.Event()
        self.streams = 0
        self.closed = False

    def enter(self) -> None:
        """Count a stream that opens; `leave` must follow. Raises TooManyStreamsError."""
        if self.streams >= self._limit:
            raise TooManyStreamsError(
                f"{self._limit} event streams are open, which is the limit. List the events "
                "instead, or try again later.",
                headers={"Retry-After": "5"},
            )
        self.streams += 1

    def leave(self) -> None:
        """Count a stream that closes."""
        self.streams -= 1

    async def events(self, job_id: str, *, after: int, seconds: float) -> bool:
        """Wait until the job has later events, has ended or is deleted.

        Return False when `seconds` have passed without that, or when the poller is closed.
        """
        return await self._wait(job_id, lambda head: head.ended or head.seq > after, seconds)

    async def change(self, job: JobView, *, seconds: float) -> bool:
        """Wait until the job differs from `job` or is deleted; return False as `events` does.

        Its position in the queue is not compared: that changes with other jobs.
        """
        # Workers write all other changes together with a heartbeat.
        seen = job.state, job.heartbeat_at
        return await self._wait(
            job.id, lambda head: (head.state, head.heartbeat_at) != seen, seconds
        )

    async def _wait(self, job_id: str, is_over: Callable[[JobHead], bool], seconds: float) -> bool:
        if self.closed:
            return False
        future = asyncio.get_running_loop().create_future()
        self._waiting[future] = _Wait(job_id, is_over)
        self._any_waiting.set()
        try:
            async with asyncio.timeout(seconds):
                return bool(await future)
        except TimeoutError:
            return False
        finally:
            del self._waiting[future]
            if not self._waiting:
                self._any_waiting.clear()

    async def run(self) -> None:
        """Poll while anything waits, until cancelled."""
        while True:
            await self._any_waiting.wait()
            job_ids = {wait.job_id for wait in self._waiting.values()}
            try:
                self._wake(job_ids, await asyncio.to_thread(self._heads, job_ids))
            except SQLAlchemyError as error:
                # The streams go on once the database is back.
                log.warning("event_polling_failed", error=error)
            except Exception:  # an error of any kind must not end the polling
                log.exception("event_polling_failed")
            await asyncio.sleep(_POLL_SECONDS)

    def close(self) -> None:
        """End all waits, now and from now on, with False."""
        self.closed = True
        for future in self._waiting:
            if not future.done():
                future.set_result(False)

    def _heads(self, job_ids: Collection[str]) -> dict[str, JobHead]:
        with self._db.reading() as session:
            return event_rows.heads(session, job_ids)

    def _wake(self, polled: Collection[str], heads: dict[str, JobHead]) -> None:
        for future, (job_id, is_over) in self._waiting.items():
            if future.done() or job_id not in polled:  # the latter was added during the query
                continue
            head = heads.get(job_id)
            if head is None or is_over(head):
                future.set_result(True)
