"""How a worker shows that it is alive: its row, a file, and its end when it no longer hears."""

import os
import socket
import threading
import time
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.db.engine import Database
from app.db.repositories import jobs, turns, workers
from app.db.tables import Worker
from app.services.broker import queue_for
from app.settings import Settings
from worker.runner import Runner

_TICK_SECONDS = 1.0
_SEEN_SECONDS = 10.0
# Idle for so long while jobs wait: their messages no longer reach this process (Celery is known
# to stop consuming after lost connections), and a new one will hear them.
_DEAF_SECONDS = 180.0

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
        self._folder = settings.data_dir / "workers"
        self._file = self._alive_file(socket.gethostname(), os.getpid())

    def register(self) -> None:
        """Enter this worker, and free at once what dead workers of this host have left behind."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file.touch()
        host, pid = socket.gethostname(), os.getpid()
        with self._db.transaction() as session:
            now = self._db.now(session)
            dead = [
                other
                for other in workers.on_host(session, host)
                # A container's processes are numbered anew: then the dead one had this number.
                if other.pid == pid or not _is_alive(other.pid)
            ]
            dead_ids = [other.id for other in dead]
            jobs.expire_leases_of(session, dead_ids, now=now)
            turns.forget_messages(session)
            workers.remove(session, dead_ids)
            workers.add(
                session,
                Worker(
                    id=self._id,
                    host=host,
                    pid=pid,
                    queues=self._queues,
                    device=self._device,
                    started_at=now,
                    seen_at=now,
                ),
            )
        for other in dead:
            if other.pid != pid:
                self._alive_file(other.host, other.pid).unlink(missing_ok=True)

    def run(self, runner: Runner, stop: threading.Event) -> None:
        """Show every second that this process is alive; end it when it is deaf."""
        seen = heard = time.monotonic()
        while not stop.wait(_TICK_SECONDS):
            self._file.touch()
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
        with self._db.transaction() as session:
            workers.remove(session, [self._id])
        self._file.unlink(missing_ok=True)

    def _see(self) -> None:
        with self._db.transaction() as session:
            workers.seen(session, self._id, now=self._db.now(session))

    def _jobs_wait(self) -> bool:
        with self._db.reading() as session:
            return any(queue_for(job.hardware) in self._queues for job in turns.waiting(session))

    def _alive_file(self, host: str, pid: int) -> Path:
        return self._folder / f"{host}-{pid}.alive"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
