"""How a worker shows that it is alive: its row and a file."""

import os
import socket
import threading
import time
from datetime import datetime, timedelta

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.db.engine import UNAVAILABLE, Database
from app.db.repositories import leases as lease_rows, turns as turn_rows, workers as worker_rows
from app.db.tables import Worker
from app.settings import Settings
from worker.presence import Presence

_TICK_SECONDS = 1.0
_SEEN_SECONDS = 10.0
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
        self._show()
        dead = self._presence.dead()
        while True:
            try:
                self._enter(list(dead))
            except UNAVAILABLE as error:
                log.warning("database_unavailable", error=str(error))
                self._show()
                time.sleep(_TICK_SECONDS)
            else:
                break
        for file in dead.values():
            file.unlink(missing_ok=True)

    def _enter(self, dead: list[str]) -> None:
        with self._db.transaction() as session:
            now = self._db.now(session)
            lease_rows.expire_of(session, dead, now=now)
            turn_rows.clear_sent(session)
            worker_rows.remove(session, dead)
            worker_rows.remove_silent(session, since=now - _FORGOTTEN_AFTER)
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
        worker_rows.add(session, row)

    def run(self, stop: threading.Event) -> None:
        """Show every second that this process is alive."""
        seen = time.monotonic()
        while not stop.wait(_TICK_SECONDS):
            self._show()
            now = time.monotonic()
            if now - seen < _SEEN_SECONDS:
                continue
            seen = now
            try:
                self._see()
            except SQLAlchemyError as error:
                log.warning("database_unavailable", error=str(error))

    def _show(self) -> None:
        try:
            self._presence.touch()
        except OSError as error:  # a full disk, say: the row goes on telling, once it is there
            log.warning("presence_not_shown", error=str(error))

    def unregister(self) -> None:
        """Remove this worker's row and file."""
        try:
            with self._db.transaction() as session:
                worker_rows.remove(session, [self._id])
        except UNAVAILABLE as error:  # its row is forgotten when it has been silent for long
            log.warning("database_unavailable", error=str(error))
        self._presence.hide()

    def _see(self) -> None:
        with self._db.transaction() as session:
            now = self._db.now(session)
            # Its row is gone where it was silent for long, or the database is an older one.
            if not worker_rows.seen(session, self._id, now=now):
                self._add(session, now)
