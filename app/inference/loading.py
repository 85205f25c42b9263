"""Loads versions in threads of its own: each once, however many requests wait for it."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from app.db.engine import Database
from app.imaging.reading import ImageLimits
from app.inference.backoff import Backoff
from app.inference.cache import VersionCache
from app.inference.engines.accelerator import Accelerator
from app.inference.errors import VersionUnreadableError
from app.inference.loaded import LoadedVersion
from app.inference.stored import StoredVersion
from app.processes import return_freed_memory
from app.storage import TensorStore

# One that waits for a slow storage does not block others.
_THREADS = 4
# Between tries of requests to load a version that cannot be loaded.
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 10.0
# A version's modules, besides its tensors; counted exactly once it is loaded.
_MODULES_BYTES = 256 * 1024
# After how many loaded bytes, or seconds, what loads have freed goes back to the system.
_FREED_BYTES = 64 * 1024 * 1024
_FREED_SECONDS = 1.0


class Loader:
    """Loads versions into a cache."""

    def __init__(
        self,
        database: Database,
        store: TensorStore,
        limits: ImageLimits,
        cache: VersionCache,
        accelerator: Accelerator,
        device: torch.device,
        clock: Callable[[], float] = time.monotonic,
        on_load: Callable[[float, bool], None] = lambda _seconds, _loaded: None,
    ) -> None:
        """Load versions onto a device, and have the busy ones made faster.

        `on_load` is called with the seconds of each load and whether it was successful.
        """
        self._database = database
        self._store = store
        self._limits = limits
        self._cache = cache
        self._accelerator = accelerator
        self._device = device
        self._on_load = on_load
        self._lock = threading.Lock()
        self._loading: dict[str, Future[LoadedVersion]] = {}
        self._backoff = Backoff(_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS, clock)
        self._errors: dict[str, VersionUnreadableError] = {}
        self._threads = ThreadPoolExecutor(_THREADS, "load")
        self._unreturned = 0
        self._returned_at = 0.0

    def load(self, version_id: str) -> "Future[LoadedVersion]":
        """Return the future of a version, which all that ask meanwhile share.

        It raises VersionNotFoundError and VersionUnreadableError; the latter without another try
        for some seconds after a failed one.
        """
        with self._lock:
            future = self._loading.get(version_id)
            if future is None:
                future = self._threads.submit(self._load, version_id)
                self._loading[version_id] = future
            return future

    def stop(self) -> None:
        """Begin no load any more. Blocks until those in progress have ended."""
        self._threads.shutdown(cancel_futures=True)
        self._accelerator.stop()

    def _load(self, version_id: str) -> LoadedVersion:
        try:
            found = self._cache.get(version_id)
            return found or self._try(version_id)
        finally:
            with self._lock:
                del self._loading[version_id]

    def _try(self, version_id: str) -> LoadedVersion:
        if not self._backoff.due(version_id):
            error = self._errors[version_id]
            raise VersionUnreadableError(error.detail, headers=error.headers)
        begun = time.perf_counter()
        try:
            stored = StoredVersion.read(self._database, version_id)
            with self._cache.room(stored.bytes + _MODULES_BYTES):
                begun = time.perf_counter()
                version = LoadedVersion(
                    stored,
                    self._store,
                    self._limits,
                    device=self._device,
                    accelerate=self._accelerator.submit,
                    on_resize=self._cache.resized,
                )
                self._cache.add(version)
        except VersionUnreadableError as error:
            self._on_load(time.perf_counter() - begun, False)
            self._failed(version_id, error)
            raise
        self._on_load(time.perf_counter() - begun, True)
        self._backoff.succeeded(version_id)
        self._errors.pop(version_id, None)
        self._return_freed(version.bytes)
        return version

    def _failed(self, version_id: str, error: VersionUnreadableError) -> None:
        pause = self._backoff.failed(version_id)
        headers = {"Retry-After": f"{pause:.0f}", **error.headers}
        # Without the traceback, which holds what the load has read.
        self._errors[version_id] = VersionUnreadableError(error.detail, headers=headers)

    def _return_freed(self, loaded: int) -> None:
        with self._lock:
            self._unreturned += loaded
            now = time.monotonic()
            due = self._unreturned > _FREED_BYTES or now - self._returned_at > _FREED_SECONDS
            if due:
                self._unreturned, self._returned_at = 0, now
        if due:
            return_freed_memory()
