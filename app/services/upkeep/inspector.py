"""The inspector: looks in the background for lost tensors and for damage of the database.

Readiness reads its last findings, so that no request waits for a storage that is slow.
"""

import threading
import time
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.db import copying
from app.db.engine import Database
from app.services.upkeep import integrity
from app.storage import BlobStore

_PAUSE_SECONDS = 30.0
# A look that takes long is repeated less often: at most a thousandth of the time is spent on it,
# and a tenth while something is wrong, so that readiness soon shows that it was mended.
_PAUSE_FACTOR = 1000.0
_PAUSE_FACTOR_WRONG = 10.0

DAMAGED = "DatabaseDamaged"

log = structlog.get_logger(__name__)


class Inspector:
    """A thread with the last findings, by the part of the health check that they concern."""

    def __init__(self, db: Database, store: BlobStore) -> None:
        self._db = db
        self._store = store
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inspector", daemon=True)
        self.findings: dict[str, str] = {}

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread once its current look is done."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            begun = time.monotonic()
            try:
                self.look()
            except (SQLAlchemyError, OSError) as error:
                # Readiness asks both itself whether they answer.
                log.warning("not_inspected", error=error)
            except Exception:  # an error of any kind must not end the thread
                log.exception("not_inspected")
            if self._stop.wait(self.pause(time.monotonic() - begun)):
                return

    def met_damage(self) -> None:
        """Note that a request has met damage of the database, which a look may be late to find."""
        self.findings = self.findings | {"database": DAMAGED}

    def pause(self, took: float) -> float:
        """Return the seconds until the next look, after one that took so many."""
        factor = _PAUSE_FACTOR_WRONG if self.findings else _PAUSE_FACTOR
        return max(_PAUSE_SECONDS, factor * took)

    def look(self) -> None:
        """Look once, and log what is new. Raises OSError and SQLAlchemyError."""
        found = {}
        if self._db.engine.dialect.name == "sqlite":
            damages = copying.damages(Path(self._db.engine.url.database or ""))
            if damages:
                found["database"] = DAMAGED
                if "database" not in self.findings:
                    log.error("database_damaged", damages=damages)
                # The queries below may meet the damage.
                self.met_damage()
        if lost := integrity.missing_from_aliased(self._db, self._store):
            # No names: everybody may ask whether the service is ready.
            found["versions"] = f"{len(lost)} tensors that aliases need are not in the storage"
            if "versions" not in self.findings:
                log.error("tensors_missing", needed_by=integrity.users(self._db, lost), blobs=lost)
        self.findings = found
