"""What the database knows of all processes, as metrics.

A scrape must neither hurt the database nor hang on it. So one read serves all scrapes for a while,
and a scrape that has waited long enough goes on without it.
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

# How long a read serves: long enough that reading takes 2 % of the time at most, within bounds.
_KEPT_TIMES = 50.0
_KEPT_SECONDS = 5.0
_KEPT_SECONDS_AT_MOST = 60.0
# And how long that there is none.
_AWAY_SECONDS = 1.0
# Prometheus gives up after ten.
_WAIT_SECONDS = 3.0

log = structlog.get_logger(__name__)


class Fleet:
    """Reads the database for scrapes. Everything here runs in one event loop."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._reading: asyncio.Task[Sequence[Metric]] | None = None
        self._fresh_until = 0.0

    async def families(self) -> Sequence[Metric]:
        """Return the families; without the database, only that it is away."""
        reading = self._reading
        if reading is None or (reading.done() and time.monotonic() >= self._fresh_until):
            reading = self._reading = asyncio.create_task(self._read())
        # One that takes longer goes on, and a later scrape has its result.
        await asyncio.wait([reading], timeout=_WAIT_SECONDS)
        return reading.result() if reading.done() else away()

    async def _read(self) -> Sequence[Metric]:
        begun, kept = time.monotonic(), _AWAY_SECONDS
        try:
            families = await asyncio.to_thread(self._families)
            taken = time.monotonic() - begun
            kept = min(max(_KEPT_SECONDS, _KEPT_TIMES * taken), _KEPT_SECONDS_AT_MOST)
        except SQLAlchemyError as error:
            log.warning("fleet_not_read", error=str(error))
            families = away()
        self._fresh_until = time.monotonic() + kept
        return families

    def _families(self) -> Sequence[Metric]:
        begun = time.monotonic()
        with self._db.reading() as session:
            now = self._db.now(session)
            counts = fleet_rows.counts(session, now=now, workers_since=now - WORKER_SEEN_WITHIN)
        return described(counts, now, seconds=time.monotonic() - begun)
