"""The versions in memory: those that aliases name, and lately used ones named by number.

A watcher thread follows the aliases: it loads and warms a new version in the background, then
swaps one reference. Requests find what is loaded without a lock on it and without the database.
"""

import threading
import time
from collections import OrderedDict

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.db.engine import Database
from app.db.repositories import classifiers as classifier_rows, versions as version_rows
from app.db.repositories.versions import Served
from app.errors import ServiceError
from app.imaging.reading import ImageLimits
from app.inference.errors import NoVersionYetError, VersionUnreadableError
from app.inference.loaded import LoadedVersion, load
from app.services.classifiers import classifiers, versions
from app.services.classifiers.classifiers import ClassifierNotFoundError
from app.services.classifiers.references import LIVE, is_number
from app.services.classifiers.versions import VersionNotFoundError
from app.settings import Settings
from app.storage import BlobStore

POLL_SECONDS = 0.25
# How long a version that cannot be read is left alone.
RETRY_SECONDS = 10.0

_Owner = tuple[str, str]  # workspace and name of a classifier

log = structlog.get_logger(__name__)


class ClassifierRequiredError(ServiceError, status=422, code="classifier-required"):
    """There are several classifiers, so the request must name one."""


class Registry:
    """Finds the loaded version that a request means."""

    def __init__(self, database: Database, store: BlobStore, settings: Settings) -> None:
        self._database = database
        self._store = store
        self._limits = ImageLimits(
            bytes=settings.max_image_megabytes * 10**6, pixels=settings.max_image_pixels
        )
        self._capacity = settings.loaded_versions
        # Replaced as a whole or entry by entry, each in one step: readers need no lock.
        self._aliased: dict[_Owner, dict[str, LoadedVersion]] = {}
        self._numbered: OrderedDict[tuple[str, str, int], LoadedVersion] = OrderedDict()
        self._numbered_lock = threading.Lock()
        self._looking = threading.Lock()
        # Two requests for a version that is not in memory load it once.
        self._loading = threading.Lock()
        self._leave_until: dict[str, float] = {}
        self._stopped = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="aliases", daemon=True)

    def start(self) -> None:
        """Start to follow the aliases."""
        self._watcher.start()

    def stop(self) -> None:
        """Stop following. Blocks until a load under way has ended."""
        self._stopped.set()
        self._watcher.join()

    @property
    def aliased(self) -> int:
        """How many versions are in memory because aliases name them."""
        return len({item.id for aliases in self._aliased.values() for item in aliases.values()})

    @property
    def numbered(self) -> int:
        """How many versions are in memory because they were asked for by number."""
        return len(self._numbered)

    def only_classifier(self, workspace: str) -> str | None:
        """Return the name of the one classifier; None where there are none or several."""
        names = [name for owner, name in self._aliased if owner == workspace]
        return names[0] if len(names) == 1 else None

    def find(self, workspace: str, classifier: str, reference: str) -> LoadedVersion | None:
        """Return the version of that number or alias if it is in memory."""
        if is_number(reference):
            key = (workspace, classifier, int(reference))
            with self._numbered_lock:
                if (found := self._numbered.get(key)) is not None:
                    self._numbered.move_to_end(key)
                return found
        return self._aliased.get((workspace, classifier), {}).get(reference)

    def resolve(
        self, workspace: str, classifier: str | None, reference: str
    ) -> tuple[str, LoadedVersion]:
        """Find the version in the database and load it: call from a thread.

        Returns the classifier's name with it. Raises ClassifierNotFoundError,
        ClassifierRequiredError, VersionNotFoundError, NoVersionYetError, VersionUnreadableError.
        """
        with self._database.reading() as session:
            if classifier is None:
                names = [
                    row.name
                    for row in classifier_rows.page(session, workspace, limit=2, after=None)
                ]
                if not names:
                    raise ClassifierNotFoundError("There is no classifier yet.")
                if len(names) > 1:
                    raise ClassifierRequiredError("There are several classifiers: name one.")
                classifier = names[0]
            owner = classifiers.require(session, workspace, classifier)
            try:
                version = versions.require(session, owner, reference)
            except VersionNotFoundError:
                if reference == LIVE:
                    raise NoVersionYetError("This classifier has no live version yet.") from None
                raise
        loaded = self._obtain(version.id)
        with self._numbered_lock:
            self._numbered[workspace, classifier, loaded.number] = loaded
            if len(self._numbered) > self._capacity:
                self._numbered.popitem(last=False)
        return classifier, loaded

    def refresh(self) -> None:
        """Look at the aliases now, and load what they name. Blocks; errors are logged."""
        try:
            with self._looking:
                self._look()
        except SQLAlchemyError as error:
            log.warning("aliases_not_read", error=str(error))
        except Exception:  # one version that nobody foresaw must not end the watching of all
            log.exception("aliases_not_followed")

    def _watch(self) -> None:
        while not self._stopped.is_set():
            self.refresh()
            self._stopped.wait(POLL_SECONDS)

    def _look(self) -> None:
        with self._numbered_lock:
            numbered = dict(self._numbered)
        with self._database.reading() as session:
            served = version_rows.served(session)
            existing = version_rows.existing(session, [item.id for item in numbered.values()])
        with self._numbered_lock:
            for key, item in numbered.items():
                if item.id not in existing:
                    self._numbered.pop(key, None)
        old = self._aliased
        new: dict[_Owner, dict[str, LoadedVersion]] = {}
        missing: list[Served] = []
        for row in served:
            aliases = new.setdefault((row.workspace, row.classifier), {})
            if row.alias is None or row.version_id is None:
                continue
            loaded = self._in_memory(row.version_id)
            if loaded is None:
                # The version before goes on serving until this one is ready.
                loaded = old.get((row.workspace, row.classifier), {}).get(row.alias)
                missing.append(row)
            if loaded is not None:
                aliases[row.alias] = loaded
        self._aliased = new
        for row in missing:
            self._follow(row, new[row.workspace, row.classifier])

    def _follow(self, row: Served, aliases: dict[str, LoadedVersion]) -> None:
        """Load what an alias names now, and let it serve."""
        if row.alias is None or row.version_id is None:
            return
        if self._stopped.is_set() or time.monotonic() < self._leave_until.get(row.version_id, 0):
            return
        try:
            aliases[row.alias] = self._obtain(row.version_id)
            self._leave_until.pop(row.version_id, None)
        except VersionNotFoundError:
            return  # deleted since we looked; the next look will see where the alias went
        except VersionUnreadableError as error:
            self._leave_until[row.version_id] = time.monotonic() + RETRY_SECONDS
            log.error(
                "version_refused", classifier=row.classifier, alias=row.alias, error=error.detail
            )

    def _obtain(self, version_id: str) -> LoadedVersion:
        with self._loading:
            found = self._in_memory(version_id)
            return found or load(self._database, version_id, self._store, self._limits)

    def _in_memory(self, version_id: str) -> LoadedVersion | None:
        with self._numbered_lock:
            numbered = list(self._numbered.values())
        aliased = [item for aliases in self._aliased.values() for item in aliases.values()]
        return next((item for item in (*aliased, *numbered) if item.id == version_id), None)
