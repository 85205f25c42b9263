"""The versions in memory: loaded when they are first asked for, within a budget.

A thread follows the changes of classifiers. Where an alias has moved whose version is in memory, it
loads the new one in the background and then swaps one reference (a hot swap). A request finds a
loaded version without the database.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.repositories import classifiers as classifier_rows, versions as version_rows
from app.db.repositories.classifiers import Served
from app.errors import ServiceError
from app.imaging.reading import ImageLimits
from app.inference import engines
from app.inference.backoff import Backoff
from app.inference.budget import model_memory
from app.inference.cache import VersionCache
from app.inference.changes import ChangeFeed
from app.inference.devices import predict_device
from app.inference.engines.accelerator import Accelerator
from app.inference.errors import NoVersionYetError, VersionUnreadableError
from app.inference.loaded import LoadedVersion
from app.inference.loading import Loader
from app.inference.names import Moved, Names
from app.services.classifiers import classifiers, versions
from app.services.classifiers.classifiers import ClassifierNotFoundError
from app.services.classifiers.references import LIVE
from app.services.classifiers.spec import spec_of
from app.services.classifiers.version_views import EngineView
from app.services.classifiers.versions import VersionNotFoundError
from app.settings import Settings
from app.storage import BlobStore, TensorStore

_POLL_SECONDS = 0.5
# An engine takes at most so small a part of the model memory: it must not evict all other versions.
_ENGINE_SHARE = 8
# How long a request that moves an alias waits for the version to be loaded.
REFRESH_SECONDS = 10.0
# Between tries to swap in a version that cannot be loaded: 10 s, then twice as long, to ten
# minutes. Requests that name it try more often.
_FIRST_PAUSE_SECONDS = 10.0
_LONGEST_PAUSE_SECONDS = 600.0
# How often a look-up is repeated that something changed during.
_LOOK_UPS = 3

log = structlog.get_logger(__name__)


class ClassifierRequiredError(ServiceError, status=422, code="classifier-required"):
    """There are several classifiers, so the request must name one."""


@dataclass(slots=True)
class _Swap:
    moved: Moved
    loading: "Future[LoadedVersion] | None" = None


@dataclass(frozen=True, slots=True)
class Found:
    """What a request names: the classifier's name, and the future of the version."""

    classifier: str
    version: "Future[LoadedVersion]"


class Registry:
    """Finds the loaded version that a request names."""

    def __init__(
        self,
        database: Database,
        store: TensorStore,
        images: BlobStore,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
        on_load: Callable[[float, bool], None] = lambda _seconds, _loaded: None,
        on_build: Callable[[str, bool], None] = lambda _engine, _taken: None,
    ) -> None:
        """Read tensors from `store`, behind which a cache may be, and images from `images`.

        No cache keeps images, so that a purge leaves no copies of them. `on_load` is called with
        the seconds of each load and whether it was successful.
        `on_build` is called with the name of each engine that was tried, and whether it was taken.
        Raises DeviceMissingError where predictions are to run on a GPU that is not there.
        """
        self._database = database
        limits = ImageLimits(
            bytes=settings.max_image_megabytes * 10**6, pixels=settings.max_image_pixels
        )
        self.cache = VersionCache(model_memory(settings))
        accelerator = Accelerator(
            engines.of(settings),
            database,
            images,
            batch=settings.inference_batch,
            most=self.cache.budget // _ENGINE_SHARE,
            demanded=settings.engine != "auto",
            on_build=on_build,
        )
        device = predict_device(settings)
        self._loader = Loader(
            database, store, limits, self.cache, accelerator, device, clock, on_load
        )
        self._names = Names()
        self._feed = ChangeFeed(clock)
        self._refreshing = threading.Lock()
        # Aliases whose new version is not in memory yet, by classifier and alias.
        self._swaps: dict[tuple[str, str], _Swap] = {}
        self._backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS, clock)
        self._stopped = threading.Event()
        self._poller = threading.Thread(target=self._poll, name="aliases", daemon=True)

    def start(self) -> None:
        """Start to follow the changes of classifiers."""
        self._poller.start()

    def stop(self) -> None:
        """Stop polling and loading. Blocks until loads in progress have ended."""
        self._stopped.set()
        self._poller.join()
        self._loader.stop()

    def only_classifier(self, workspace: str) -> str | None:
        """Return the name of the workspace's only classifier, if it is known without a query."""
        return self._names.only(workspace)

    def find(self, workspace: str, classifier: str, reference: str) -> LoadedVersion | None:
        """Return the version of that number or alias if it is in memory."""
        version_id = self._names.find(workspace, classifier, reference)
        return None if version_id is None else self.cache.get(version_id)

    def engine(
        self, workspace: str, classifier: str, number: int, aliases: Sequence[str]
    ) -> EngineView | None:
        """Return what runs a version's network; None where it is in memory by none of its names."""
        for reference in (str(number), *aliases):
            version_id = self._names.find(workspace, classifier, reference)
            version = None if version_id is None else self.cache.peek(version_id)
            if version is not None and version.number == number:
                return version.engine
        return None

    def resolve(self, workspace: str, classifier: str | None, reference: str) -> Found:
        """Find the version in the database and begin to load it: call from a thread.

        Raises ClassifierNotFoundError, ClassifierRequiredError, VersionNotFoundError and
        NoVersionYetError; the future raises VersionNotFoundError and VersionUnreadableError.
        """
        for _ in range(_LOOK_UPS):
            generation = self._names.generation
            with self._database.reading() as session:
                name = classifier or _only_classifier(session, workspace)
                if classifier is None:
                    self._names.learn_only(workspace, name, generation)
                    # One that is served until a newer one is loaded.
                    if (loaded := self.find(workspace, name, reference)) is not None:
                        return Found(name, _done(loaded))
                owner = classifiers.require(session, workspace, name)
                try:
                    version = versions.require(session, owner, reference)
                except VersionNotFoundError:
                    if reference == LIVE:
                        raise NoVersionYetError(
                            "This classifier has no live version yet."
                        ) from None
                    raise
            served = Served(workspace, name, spec_of(owner).pinned, {})
            if self._names.learn(owner.id, served, reference, version.id, generation):
                break
        return Found(name, self._loader.load(version.id))

    def refresh(self, classifier: str | None = None) -> None:
        """Read now what has changed, and wait some seconds for what must be loaded.

        With a classifier, only what it needs is waited for. What takes longer is swapped in the
        background. Errors are logged.
        """
        with self._refreshing:
            self._follow()
            loading = self._begin_swaps(classifier)
        # Without the lock: a storage that hangs must not keep other changes from being followed.
        wait(loading, timeout=REFRESH_SECONDS)
        with self._refreshing:
            self._end_swaps()

    def _poll(self) -> None:
        while not self._stopped.is_set():
            with self._refreshing:
                self._follow()
                loading = self._begin_swaps()
            if loading:
                wait(loading, timeout=_POLL_SECONDS)
                with self._refreshing:
                    self._end_swaps()
            else:
                self._stopped.wait(_POLL_SECONDS)

    def _follow(self) -> None:
        try:
            with self._database.reading() as session:
                self._read_changes(session)
        except SQLAlchemyError as error:
            self._feed.start_over()
            log.warning("aliases_not_read", error=error)
        except Exception:  # an unforeseen error of one classifier must not end the polling
            self._feed.start_over()
            log.exception("aliases_not_followed")

    def _read_changes(self, session: Session) -> None:
        changed = self._feed.read(session)
        if changed is None:
            changed = self._names.classifier_ids | classifier_rows.pinned_ids(session)
        if not changed:
            return
        self._names.begin_change()
        served = classifier_rows.served(session, changed)
        numbered = [item for owner in changed for item in self._names.numbered(owner)]
        existing = version_rows.existing(session, numbered) if numbered else set()
        for classifier_id in changed:
            before = self._names.named(classifier_id)
            moved = self._names.follow(
                classifier_id, served.get(classifier_id), existing, self.cache.__contains__
            )
            self._replace_swaps(classifier_id, moved)
            self._discard(before - self._names.named(classifier_id))
        self.cache.pin(self._names.pinned)

    def _replace_swaps(self, classifier_id: str, moved: list[Moved]) -> None:
        """Replace what was to be swapped of a classifier."""
        wanted = {item.alias: item for item in moved}
        named = self._names.named(classifier_id)
        for key, swap in list(self._swaps.items()):
            if key[0] != classifier_id or swap.moved == wanted.get(swap.moved.alias):
                continue
            # A pinned version that could not be loaded yet is named already.
            if swap.moved.alias in wanted or swap.moved.version_id not in named:
                del self._swaps[key]
        for item in moved:
            self._swaps.setdefault((classifier_id, item.alias), _Swap(item))
        self._backoff.retain({swap.moved.version_id for swap in self._swaps.values()})

    def _begin_swaps(self, classifier: str | None = None) -> "list[Future[LoadedVersion]]":
        """Begin all loads that are due; return those in progress, of one classifier if named."""
        for swap in self._swaps.values():
            if swap.loading is None and self._backoff.due(swap.moved.version_id):
                if self._stopped.is_set():
                    break
                swap.loading = self._loader.load(swap.moved.version_id)
        return [
            swap.loading
            for swap in self._swaps.values()
            if swap.loading is not None and classifier in (None, swap.moved.classifier)
        ]

    def _end_swaps(self) -> None:
        for key, swap in list(self._swaps.items()):
            if swap.loading is None or not swap.loading.done():
                continue
            loading, swap.loading = swap.loading, None
            moved = swap.moved
            try:
                loading.result()
            except VersionNotFoundError:
                del self._swaps[key]  # deleted meanwhile; the next poll shows what the alias names
            except VersionUnreadableError as error:
                log.error(
                    "version_refused",
                    classifier=moved.classifier,
                    alias=moved.alias,
                    error=error.detail,
                    retry_seconds=self._backoff.failed(moved.version_id),
                )
            except Exception as error:  # such as a database that does not answer
                self._backoff.failed(moved.version_id)
                log.warning("version_not_loaded", version=moved.version_id, error=error)
            else:
                del self._swaps[key]
                before = self._names.point(moved)
                if before is not None:
                    self._discard({before} - self._names.named(moved.classifier_id))
                self.cache.pin(self._names.pinned)

    def _discard(self, version_ids: set[str]) -> None:
        for version_id in version_ids:
            self.cache.discard(version_id)


def _only_classifier(session: Session, workspace: str) -> str:
    found = classifier_rows.page(session, workspace, limit=2, after=None)
    if not found:
        raise ClassifierNotFoundError("There is no classifier yet.")
    if len(found) > 1:
        raise ClassifierRequiredError("There are several classifiers: name one.")
    return found[0].name


def _done(version: LoadedVersion) -> "Future[LoadedVersion]":
    future: Future[LoadedVersion] = Future()
    future.set_result(version)
    return future
