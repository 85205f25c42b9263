"""Polling fallback for lost messages: an idle worker takes a waiting job without a message.

Messages are hints. None comes while the broker is unavailable, and Celery is known to stop
consuming after a lost connection. A worker that receives none for long ends, to be started again.
"""

import os
import threading
import time

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.db.engine import Database
from app.db.repositories import turns as turn_rows
from app.services.queue.broker import queue_for
from worker.runner import Runner

_TICK_SECONDS = 1.0
# How long a job waits for a message to reach an idle worker; messages take far less.
_PATIENCE_SECONDS = 10.0
# A process that was idle while jobs waited for this long in all receives no messages any more; a
# new process will. Until then it takes jobs by polling.
_DEAF_SECONDS = 120.0

log = structlog.get_logger(__name__)


class PollingFallback:
    """Polls the database for jobs that wait although this worker is idle, and runs them."""

    def __init__(self, db: Database, runner: Runner, queues: list[str]) -> None:
        self._db = db
        self._runner = runner
        self._queues = queues
        self._idle_since: float | None = None
        self._idle_seconds = 0.0

    def run(self, stop: threading.Event) -> None:
        """Poll every second."""
        while not stop.wait(_TICK_SECONDS):
            try:
                self._poll()
            except SQLAlchemyError as error:
                self._idle_since = None
                log.warning("database_unavailable", error=error)
            except Exception:  # whatever a job's attempt raised, polling goes on
                self._idle_since = None
                log.exception("polling_failed")

    def _poll(self) -> None:
        if self._runner.take_heard():
            self._idle_since, self._idle_seconds = None, 0.0
        waiting = None if self._runner.busy else self._waiting()
        if waiting is None:
            self._idle_since = None
            return
        now = time.monotonic()
        self._idle_since = self._idle_since or now
        if now - self._idle_since < _PATIENCE_SECONDS:
            return
        self._idle_seconds += now - self._idle_since
        self._idle_since = None
        if self._idle_seconds >= _DEAF_SECONDS:
            log.error("worker_deaf", seconds=self._idle_seconds)
            os._exit(1)  # the main thread may be stuck, so a gentler end might fail
        log.warning("nothing_heard", job=waiting)
        self._runner.run(waiting)

    def _waiting(self) -> str | None:
        with self._db.reading() as session:
            jobs = (
                job.id
                for job in turn_rows.waiting(session, now=self._db.now(session))
                if queue_for(job.hardware) in self._queues
            )
            return next(jobs, None)
