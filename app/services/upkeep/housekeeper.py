"""The housekeeper: retention, manifests and sweeps, in the background of API processes.

It runs in every API process. Whichever sees first that a classifier changed maintains it; doing so
twice is harmless. Only one process sweeps at a time.
"""

import threading
import time
import zlib
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.db.engine import Database
from app.db.repositories import (
    changes as change_rows,
    classifiers as classifier_rows,
    idempotency as idempotency_rows,
    installation as installation_rows,
    jobs as job_rows,
)
from app.services.upkeep import ownership, retention, sweeping
from app.services.upkeep.ownership import ForeignStorageError
from app.settings import Settings
from app.storage import BlobStore

_TICK_SECONDS = 2.0
# After a failure, such as an unreachable database or a full disk.
_RETRY_SECONDS = 10.0
_SWEEP_EVERY = timedelta(hours=1)
# The pause after a failed sweep, which lists the whole storage: expensive to repeat. It doubles.
_SWEEP_AGAIN = timedelta(minutes=10)
_SWEEP_AGAIN_AT_MOST = timedelta(hours=6)
# How long the advice of a job stays; it belongs to no classifier that it could be deleted with.
_ADVICE_KEPT = timedelta(days=30)
# Between the batches of a sweep, so that requests are not delayed; and at least so many times what
# the batch took of the CPU: a sweep takes a fifth of a core at most, however much there is.
_PAUSE_SECONDS = 0.02
_PAUSE_FACTOR = 4.0
# Of so many sweeps, each compares its part of all classifiers' documents, which change only with
# the classifiers: the comparison finds what was lost in the storage.
_PARTS = 24
# Changed classifiers that one tick maintains.
_BATCH = 20

log = structlog.get_logger(__name__)


class _StoppingError(Exception):
    """Ends a sweep when its process ends."""


class _Pace:
    """Pauses between the batches of a sweep. For the thread that makes it."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._used = time.thread_time()

    def __call__(self) -> None:
        """Pause for as long as is due. Raises _StoppingError where the process ends meanwhile."""
        used = time.thread_time()
        pause = max(_PAUSE_SECONDS, _PAUSE_FACTOR * (used - self._used))
        self._used = used
        if self._stop.wait(pause):
            raise _StoppingError


class Housekeeper:
    """A thread that maintains changed classifiers and sweeps the storage every hour."""

    def __init__(self, db: Database, store: BlobStore, settings: Settings) -> None:
        self._db = db
        self._store = store
        self._settings = settings
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeper", daemon=True)
        self._foreign = False
        # Classifiers whose maintenance failed, and when to try again.
        self._later: dict[str, float] = {}

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread once its current work is done; a sweep ends after its current batch."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        wait = 0.0
        while not self._stop.wait(wait):
            wait = _TICK_SECONDS
            try:
                self.tick()
            except _StoppingError:
                return
            except ForeignStorageError as error:
                if not self._foreign:
                    log.error("storage_of_another_database", detail=str(error))
                self._foreign = True
                wait = _RETRY_SECONDS
            except (SQLAlchemyError, OSError) as error:
                log.warning("housekeeping_failed", error=error)
                wait = _RETRY_SECONDS
            except Exception:  # an error of any kind must not end the thread
                log.exception("housekeeping_failed")
                wait = _RETRY_SECONDS

    def tick(self) -> None:
        """Maintain the classifiers that changed, and sweep if a sweep is due.

        Raises ForeignStorageError.
        """
        now = time.monotonic()
        self._later = {failed: at for failed, at in self._later.items() if at > now}
        with self._db.reading() as session:
            changed = classifier_rows.changed(session, limit=_BATCH, but=self._later)
            due = installation_rows.may_sweep(session, self._db.now(session))
        if changed or due:
            ownership.check(self._db, self._store)
            self._foreign = False
        for classifier_id in changed:
            if sweeping.maintain(self._db, self._store, classifier_id) is None:
                self._later[classifier_id] = time.monotonic() + _RETRY_SECONDS
        if changed and not self._settings.upload_retention_days:
            retention.expire_uploads(self._db, 0)
        if due:
            self._sweep()

    def _sweep(self) -> None:
        with self._db.transaction() as session:
            now = self._db.now(session)
            due_at, next_at = installation_rows.sweep_due_at(session), now + _SWEEP_EVERY
            if due_at is None or not installation_rows.take_sweep(session, now, next_at=next_at):
                return
            idempotency_rows.delete_old(session, now)
            change_rows.delete_old(session, now)
            job_rows.remove_ended_without_classifier(session, before=now - _ADVICE_KEPT)
        try:
            pause = _Pace(self._stop)
            is_compared = partial(_is_compared, int(now.timestamp()) // 3600)
            swept = sweeping.sweep(
                self._db, self._store, self._settings, pause=pause, is_compared=is_compared
            )
        except (SQLAlchemyError, OSError) as error:
            self._sweep_failed(next_at, due_at, str(getattr(error, "orig", None) or error))
            raise
        if swept.error is not None:
            self._sweep_failed(next_at, due_at, swept.error, swept.undeleted)
            return
        with self._db.transaction() as session:
            installation_rows.sweep_done(session)

    def _sweep_failed(
        self, next_at: datetime, due_at: datetime, error: str, undeleted: int = 0
    ) -> None:
        """Have the sweep stay due, so that monitoring shows it, and tried again after a pause."""
        with self._db.transaction() as session:
            failures = installation_rows.sweep_failures(session)
            pause = min(_SWEEP_AGAIN * 2 ** min(failures, 10), _SWEEP_AGAIN_AT_MOST)
            installation_rows.sweep_failed(
                session,
                next_at=next_at,
                due_at=due_at,
                not_before=self._db.now(session) + pause,
                error=error,
                undeleted=undeleted,
            )


def _is_compared(hour: int, classifier_id: str) -> bool:
    """Say whether a classifier's documents are compared by the sweep of this hour, from any day."""
    return zlib.crc32(classifier_id.encode()) % _PARTS == hour % _PARTS
