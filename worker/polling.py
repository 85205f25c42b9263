"""What a worker does that hears nothing while jobs wait: it looks for itself, and at last ends.

Messages are hints. None comes while the broker is away, and Celery is known to stop consuming
after a connection was lost.
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
# How long a job may wait for an idle worker: messages take far less.
_PATIENCE_SECONDS = 10.0
# A process that was idle for so long in vain, all told, will hear no message any more; a new one
# will. Until then it does its work.
_DEAF_SECONDS = 120.0

log = structlog.get_logger(__name__)


class Lookout:
    """Takes the jobs that wait although this worker is idle."""

    def __init__(self, db: Database, runner: Runner, queues: list[str]) -> None:
        self._db = db
        self._runner = runner
        self._queues = queues
        self._idle_since: float | None = None
        self._unheard = 0.0

    def run(self, stop: threading.Event) -> None:
        """Look every second."""
        while not stop.wait(_TICK_SECONDS):
            try:
                self._look()
            except SQLAlchemyError as error:
                self._idle_since = None
                log.warning("database_unavailable", error=str(error))
            except Exception:  # whatever a job's attempt raised, the next one is looked for
                self._idle_since = None
                log.exception("lookout_failed")

    def _look(self) -> None:
        if self._runner.take_heard():
            self._idle_since, self._unheard = None, 0.0
        waiting = None if self._runner.busy else self._waiting()
        if waiting is None:
            self._idle_since = None
            return
        now = time.monotonic()
        self._idle_since = self._idle_since or now
        if now - self._idle_since < _PATIENCE_SECONDS:
            return
        self._unheard += now - self._idle_since
        self._idle_since = None
        if self._unheard >= _DEAF_SECONDS:
            log.error("worker_deaf", seconds=self._unheard)
            os._exit(1)  # its main thread may be stuck, so nothing less is sure to end it
        log.warning("nothing_heard", job=waiting)
        self._runner.run(waiting)

    def _waiting(self) -> str | None:
        with self._db.reading() as session:
            jobs = (
                job.id
                for job in turn_rows.waiting(session)
                if queue_for(job.hardware) in self._queues
            )
            return next(jobs, None)
