"""Waiting for jobs to change: one short read a tick for all who wait, however many they are.

Whoever waits holds neither a thread nor a connection. Everything here runs in one event loop.
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

_TICK_SECONDS = 0.25

log = structlog.get_logger(__name__)


class TooManyStreamsError(ServiceError, status=503, code="too-many-streams"):
    """As many streams are open as this process holds."""


class _Wanted(NamedTuple):
    job_id: str
    is_news: Callable[[JobHead], bool]


class EventWatch:
    """Tells who waits for a job when there is something to read, and counts the streams."""

    def __init__(self, db: Database, limit: int) -> None:
        """`limit` is how many streams may be open."""
        self._db = db
        self._limit = limit
        self._waiting: dict[asyncio.Future[bool], _Wanted] = {}
        self._somebody = asyncio.Event()
        self.streams = 0
        self.closed = False

    def enter(self) -> None:
        """Count a stream. Raises TooManyStreamsError; else `leave` must follow."""
        if self.streams >= self._limit:
            raise TooManyStreamsError(
                f"{self._limit} streams are open. List the events instead, or come back.",
                headers={"Retry-After": "5"},
            )
        self.streams += 1

    def leave(self) -> None:
        """Count a stream as ended."""
        self.streams -= 1

    async def events(self, job_id: str, *, after: int, seconds: float) -> bool:
        """Wait until the job has later events, has ended or is gone.

        False where none of it came in so many seconds, or the watch was closed.
        """
        return await self._news(job_id, lambda head: head.ended or head.seq > after, seconds)

    async def change(self, job: JobView, *, seconds: float) -> bool:
        """Wait until the job is no more as it is shown, or is gone; else as `events` does.

        Its place in the queue does not count: that changes with other jobs.
        """
        # Whatever else of it changes, a worker writes with a sign of life.
        seen = job.state, job.heartbeat_at
        return await self._news(
            job.id, lambda head: (head.state, head.heartbeat_at) != seen, seconds
        )

    async def _news(self, job_id: str, is_news: Callable[[JobHead], bool], seconds: float) -> bool:
        if self.closed:
            return False
        future = asyncio.get_running_loop().create_future()
        self._waiting[future] = _Wanted(job_id, is_news)
        self._somebody.set()
        try:
            async with asyncio.timeout(seconds):
                return bool(await future)
        except TimeoutError:
            return False
        finally:
            del self._waiting[future]
            if not self._waiting:
                self._somebody.clear()

    async def run(self) -> None:
        """Look for all who wait, until cancelled."""
        while True:
            await self._somebody.wait()
            job_ids = {wanted.job_id for wanted in self._waiting.values()}
            try:
                self._tell(job_ids, await asyncio.to_thread(self._heads, job_ids))
            except SQLAlchemyError as error:
                # Who waits is told once the database is back.
                log.warning("event_watch_failed", error=str(error))
            except Exception:  # whatever it is, streams go on being told
                log.exception("event_watch_failed")
            await asyncio.sleep(_TICK_SECONDS)

    def close(self) -> None:
        """Send away all who wait, and whoever comes."""
        self.closed = True
        for future in self._waiting:
            if not future.done():
                future.set_result(False)

    def _heads(self, job_ids: Collection[str]) -> dict[str, JobHead]:
        with self._db.reading() as session:
            return event_rows.heads(session, job_ids)

    def _tell(self, asked: Collection[str], heads: dict[str, JobHead]) -> None:
        for future, (job_id, is_news) in self._waiting.items():
            if future.done() or job_id not in asked:  # the latter came during the look
                continue
            head = heads.get(job_id)
            if head is None or is_news(head):
                future.set_result(True)
