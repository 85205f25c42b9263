"""The heartbeat of a worker process: its row in the database and a file."""

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
from app.db.rows import insert
from app.db.tables import Worker
from app.settings import Settings
from worker.presence import Presence

_TICK_SECONDS = 1.0
_SEEN_SECONDS = 10.0
# The row of a worker whose heartbeat stopped this long ago is removed.
_REMOVED_AFTER = timedelta(hours=1)

log = structlog.get_logger(__name__)


class Health:
    """The registration and the heartbeat of one worker process."""

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
        """Insert this worker's row, and free at once the jobs of this machine's dead workers.

        Waits for the database where it is unavailable.
        """
        self._show()
        dead = self._presence.dead()
        while True:
            try:
                self._insert(list(dead))
            except UNAVAILABLE as error:
                log.warning("database_unavailable", error=error)
                self._show()
                time.sleep(_TICK_SECONDS)
            else:
                break
        for file in dead.values():
            file.unlink(missing_ok=True)

    def _insert(self, dead: list[str]) -> None:
        with self._db.transaction() as session:
            now = self._db.now(session)
            lease_rows.expire_of(session, dead, now=now)
            turn_rows.clear_sent(session)
            worker_rows.remove(session, dead)
            worker_rows.remove_silent(session, since=now - _REMOVED_AFTER)
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
        insert(session, row)

    def run(self, stop: threading.Event) -> None:
        """Touch the file every second, and the row every ten."""
        seen = time.monotonic()
        while not stop.wait(_TICK_SECONDS):
            self._show()
            now = time.monotonic()
            if now - seen < _SEEN_SECONDS:
                continue
            seen = now
            try:
                self._update()
            except SQLAlchemyError as error:
                log.warning("database_unavailable", error=error)

    def _show(self) -> None:
        try:
            self._presence.touch()
        except OSError as error:  # e.g. a full disk; the row still shows the heartbeat
            log.warning("presence_not_shown", error=error)

    def unregister(self) -> None:
        """Remove this worker's row and file."""
        try:
            with self._db.transaction() as session:
                worker_rows.remove(session, [self._id])
        except UNAVAILABLE as error:  # the row is removed once it is old
            log.warning("database_unavailable", error=error)
        self._presence.hide()

    def _update(self) -> None:
        with self._db.transaction() as session:
            now = self._db.now(session)
            # The row is missing after a long silence, or where an older database was restored.
            if not worker_rows.seen(session, self._id, now=now):
                self._add(session, now)
