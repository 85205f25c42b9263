"""How a worker shows that it is alive: its row, a file, and its end when it no longer hears."""

import os
import socket
import threading
import time
from datetime import datetime, timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.db.engine import UNAVAILABLE, Database
from app.db.repositories import jobs, turns, workers
from app.db.tables import Worker
from app.services.broker import queue_for
from app.settings import Settings
from worker.presence import Presence
from worker.runner import Runner

_TICK_SECONDS = 1.0
_SEEN_SECONDS = 10.0
# Idle for so long while jobs wait: their messages no longer reach this process (Celery is known
# to stop consuming after lost connections), and a new one will hear them.
_DEAF_SECONDS = 180.0
# A worker that was not seen for so long is no worker any more.
_FORGOTTEN_AFTER = timedelta(hours=1)

log = structlog.get_logger(__name__)


class Health:
    """The registration of one worker process."""

    def __init__(
        self, db: Database, settings: Settings, worker_id: str, queues: list[str], device: str
    ) -> None:
        self._db = db
        self._id = worker_id
        self._queues = queues
        self._device = device
        self._presence = Presence(settings.data_dir / "workers", worker_id)
        self._started_at: datetime | None = None

    def register(self) -> None:
        """Enter this worker, and free at once what dead workers of this machine have left behind.

        Waits for the database where it is away.
        """
        self._presence.show()
        dead = self._presence.bury()
        while True:
            try:
                self._enter(dead)
            except UNAVAILABLE as error:
                log.warning("database_unavailable", error=str(error))
                time.sleep(_TICK_SECONDS)
            else:
                return

    def _enter(self, dead: list[str]) -> None:
        with self._db.transaction() as session:
            now = self._db.now(session)
            jobs.expire_leases_of(session, dead, now=now)
            turns.forget_messages(session)
            workers.remove(session, dead)
            workers.remove_silent(session, since=now - _FORGOTTEN_AFTER)
            self._add(session, now)

    def _add(self, session: Session, now: datetime) -> None:
        row = Worker(
            id=self._id,
            host=socket.gethostname(),
            pid=os.getpid(),
            queues=self._queues,
            device=self._device,
            started_at=self._started_at or now,
            seen_at=now,
        )
        self._started_at = row.started_at
        workers.add(session, row)

    def run(self, runner: Runner, stop: threading.Event) -> None:
        """Show every second that this process is alive; end it when it is deaf."""
        seen = heard = time.monotonic()
        while not stop.wait(_TICK_SECONDS):
            self._presence.touch()
            now = time.monotonic()
            try:
                if now - seen >= _SEEN_SECONDS:
                    seen = now
                    self._see()
                if runner.busy or not self._jobs_wait():
                    heard = now
            except SQLAlchemyError as error:
                heard = now
                log.warning("database_unavailable", error=str(error))
            if now - heard >= _DEAF_SECONDS:
                log.error("worker_deaf", seconds=_DEAF_SECONDS)
                os._exit(1)  # its main thread may be stuck, so nothing less is sure to end it

    def unregister(self) -> None:
        """Remove this worker's row and file."""
        try:
            with self._db.transaction() as session:
                workers.remove(session, [self._id])
        except UNAVAILABLE as error:  # its row is forgotten when it has been silent for long
            log.warning("database_unavailable", error=str(error))
        self._presence.hide()

    def _see(self) -> None:
        with self._db.transaction() as session:
            now = self._db.now(session)
            # Its row is gone where it was silent for long, or the database is an older one.
            if not workers.seen(session, self._id, now=now):
                self._add(session, now)

    def _jobs_wait(self) -> bool:
        with self._db.reading() as session:
            return any(queue_for(job.hardware) in self._queues for job in turns.waiting(session))
