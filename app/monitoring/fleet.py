"""Metrics over all processes, read from the database.

A scrape must neither overload the database nor hang on it. So the result of one read is cached for
all scrapes, and a scrape waits for a read for a few seconds only.
"""

import asyncio
import time
from collections.abc import Sequence

import structlog
from prometheus_client import Metric
from sqlalchemy.exc import SQLAlchemyError

from app.db.engine import Database
from app.db.repositories import fleet as fleet_rows
from app.monitoring.fleet_families import away, described
from app.services.queue.dispatcher import WORKER_SEEN_WITHIN

# How long a read is cached: 50 times as long as it took, so that at most 2 % of the time is spent
# reading; at least 5 and at most 60 seconds.
_CACHED_TIMES = 50.0
_CACHED_SECONDS = 5.0
_CACHED_SECONDS_AT_MOST = 60.0
# How long it is cached that the database does not answer.
_AWAY_SECONDS = 1.0
# Prometheus gives up a scrape after ten seconds.
_WAIT_SECONDS = 3.0

log = structlog.get_logger(__name__)


class Fleet:
    """Reads the database for scrapes. For one event loop."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._reading: asyncio.Task[Sequence[Metric]] | None = None
        self._fresh_until = 0.0

    async def families(self) -> Sequence[Metric]:
        """Return the families; if the database does not answer, only that it is down."""
        reading = self._reading
        if reading is None or (reading.done() and time.monotonic() >= self._fresh_until):
            reading = self._reading = asyncio.create_task(self._read())
        # A read that takes longer goes on, and a later scrape gets its result.
        await asyncio.wait([reading], timeout=_WAIT_SECONDS)
        return reading.result() if reading.done() else away()

    async def _read(self) -> Sequence[Metric]:
        begun, cached_for = time.monotonic(), _AWAY_SECONDS
        try:
            families = await asyncio.to_thread(self._families)
            taken = time.monotonic() - begun
            cached_for = min(max(_CACHED_SECONDS, _CACHED_TIMES * taken), _CACHED_SECONDS_AT_MOST)
        except SQLAlchemyError as error:
            log.warning("fleet_not_read", error=error)
            families = away()
        self._fresh_until = time.monotonic() + cached_for
        return families

    def _families(self) -> Sequence[Metric]:
        begun = time.monotonic()
        with self._db.reading() as session:
            now = self._db.now(session)
            counts = fleet_rows.counts(session, now=now, workers_since=now - WORKER_SEEN_WITHIN)
        return described(counts, now, seconds=time.monotonic() - begun)
