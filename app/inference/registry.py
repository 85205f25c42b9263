"""The versions in memory: those that aliases name, and an LRU cache of those named by number.

A thread polls the aliases: it loads and warms up a new version in the background, then swaps one
reference (a hot swap). A request finds a loaded version without the database, and one that an alias
names without a lock.
"""

import threading
import time
from collections.abc import Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.db.engine import Database
from app.db.repositories import classifiers as classifier_rows, versions as version_rows
from app.errors import ServiceError
from app.imaging.reading import ImageLimits
from app.inference.backoff import Backoff
from app.inference.errors import NoVersionYetError, VersionUnreadableError
from app.inference.loaded import LoadedVersion, load
from app.inference.lru import LruCache
from app.services.classifiers import classifiers, versions
from app.services.classifiers.classifiers import ClassifierNotFoundError
from app.services.classifiers.references import LIVE, is_number
from app.services.classifiers.versions import VersionNotFoundError
from app.settings import Settings
from app.storage import TensorStore

_POLL_SECONDS = 0.25
# Between tries to load a version that cannot be loaded: 10 s, then twice as long, to ten minutes.
_FIRST_PAUSE_SECONDS = 10.0
_LONGEST_PAUSE_SECONDS = 600.0

_Owner = tuple[str, str]  # workspace and name of a classifier

log = structlog.get_logger(__name__)


class ClassifierRequiredError(ServiceError, status=422, code="classifier-required"):
    """There are several classifiers, so the request must name one."""


class Registry:
    """Finds the loaded version that a request names."""

    def __init__(
        self,
        database: Database,
        store: TensorStore,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._store = store
        self._limits = ImageLimits(
            bytes=settings.max_image_megabytes * 10**6, pixels=settings.max_image_pixels
        )
        # Replaced as a whole or entry by entry, each in one step: readers need no lock.
        self._aliased: dict[_Owner, dict[str, LoadedVersion]] = {}
        self._numbered: LruCache[tuple[str, str, int], LoadedVersion] = LruCache(
            settings.loaded_versions
        )
        self._refreshing = threading.Lock()
        # Two requests for a version that is not in memory load it once.
        self._loading = threading.Lock()
        # Of versions that could not be loaded.
        self._backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS, clock)
        self._stopped = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="aliases", daemon=True)

    def start(self) -> None:
        """Start to poll the aliases."""
        self._poller.start()

    def stop(self) -> None:
        """Stop polling. Blocks until a load in progress has ended."""
        self._stopped.set()
        self._poller.join()

    @property
    def aliased(self) -> int:
        """The number of versions in memory because aliases name them."""
        return len({item.id for aliases in self._aliased.values() for item in aliases.values()})

    @property
    def numbered(self) -> int:
        """The number of versions in memory because requests named them by number."""
        return len(self._numbered)

    def only_classifier(self, workspace: str) -> str | None:
        """Return the name of the only classifier; None if there is none, or several."""
        names = [name for owner, name in self._aliased if owner == workspace]
        return names[0] if len(names) == 1 else None

    def find(self, workspace: str, classifier: str, reference: str) -> LoadedVersion | None:
        """Return the version of that number or alias if it is in memory."""
        if is_number(reference):
            return self._numbered.get((workspace, classifier, int(reference)))
        return self._aliased.get((workspace, classifier), {}).get(reference)

    def resolve(
        self, workspace: str, classifier: str | None, reference: str
    ) -> tuple[str, LoadedVersion]:
        """Find the version in the database and load it: call from a thread.

        Returns the classifier's name and the version. Raises ClassifierNotFoundError,
        ClassifierRequiredError, VersionNotFoundError, NoVersionYetError, VersionUnreadableError.
        """
        with self._database.reading() as session:
            if classifier is None:
                found = classifier_rows.page(session, workspace, limit=2, after=None)
                if not found:
                    raise ClassifierNotFoundError("There is no classifier yet.")
                if len(found) > 1:
                    raise ClassifierRequiredError("There are several classifiers: name one.")
                classifier = found[0].name
            owner = classifiers.require(session, workspace, classifier)
            try:
                version = versions.require(session, owner, reference)
            except VersionNotFoundError:
                if reference == LIVE:
                    raise NoVersionYetError("This classifier has no live version yet.") from None
                raise
        loaded = self._obtain(version.id)
        self._numbered.put((workspace, classifier, loaded.number), loaded)
        return classifier, loaded

    def refresh(self) -> None:
        """Read the aliases now, and load the versions that they name. Blocks; errors are logged."""
        try:
            with self._refreshing:
                self._refresh()
        except SQLAlchemyError as error:
            log.warning("aliases_not_read", error=error)
        except Exception:  # an unforeseen error of one version must not end the polling
            log.exception("aliases_not_followed")

    def _poll(self) -> None:
        while not self._stopped.is_set():
            self.refresh()
            self._stopped.wait(_POLL_SECONDS)

    def _refresh(self) -> None:
        numbered = self._numbered.items()
        with self._database.reading() as session:
            served = version_rows.served(session)
            existing = version_rows.existing(session, [item.id for _, item in numbered])
        for key, item in numbered:
            if item.id not in existing:
                self._numbered.discard(key)
        old = self._aliased
        new: dict[_Owner, dict[str, LoadedVersion]] = {owner: {} for owner in served}
        missing: list[tuple[_Owner, str, str]] = []
        for owner, aliases in served.items():
            for alias, version_id in aliases.items():
                loaded = self._in_memory(version_id)
                if loaded is None:
                    # The previous version is served until this one is ready.
                    loaded = old.get(owner, {}).get(alias)
                    missing.append((owner, alias, version_id))
                if loaded is not None:
                    new[owner][alias] = loaded
        self._aliased = new
        self._backoff.retain({version_id for _, _, version_id in missing})
        for owner, alias, version_id in missing:
            self._swap(owner, alias, version_id)

    def _swap(self, owner: _Owner, alias: str, version_id: str) -> None:
        """Load the version that an alias names now, and serve it."""
        if self._stopped.is_set() or not self._backoff.due(version_id):
            return
        try:
            self._aliased[owner][alias] = self._obtain(version_id)
        except VersionNotFoundError:
            return  # deleted meanwhile; the next poll shows what the alias names then
        except VersionUnreadableError as error:
            log.error(
                "version_refused",
                classifier=owner[1],
                alias=alias,
                error=error.detail,
                retry_seconds=self._backoff.failed(version_id),
            )

    def _obtain(self, version_id: str) -> LoadedVersion:
        with self._loading:
            found = self._in_memory(version_id)
            return found or load(self._database, version_id, self._store, self._limits)

    def _in_memory(self, version_id: str) -> LoadedVersion | None:
        numbered = [item for _, item in self._numbered.items()]
        aliased = [item for aliases in self._aliased.values() for item in aliases.values()]
        return next((item for item in (*aliased, *numbered) if item.id == version_id), None)
