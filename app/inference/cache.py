"""The loaded versions, within a budget of bytes: when it is full, the least recently used go."""

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from weakref import WeakSet

import structlog

from app.inference.loaded import LoadedVersion

# How long a load waits for evicted versions that requests still hold, and for loads in progress:
# one of these may hang in a storage that does not answer.
_RELEASE_SECONDS = 5.0
_LOADING_SECONDS = 30.0
_LOOK_SECONDS = 0.02

log = structlog.get_logger(__name__)


class VersionCache:
    """Holds loaded versions by id. Threads share it; none of its methods but `room` blocks.

    Pinned versions stay, as long as they fit within the budget together. One version more than
    fits is always possible, so that a version larger than the budget is served too: alone.
    """

    def __init__(self, budget: int) -> None:
        """Hold versions of up to `budget` bytes together."""
        self.budget = budget
        self.evictions = 0
        self._changed = threading.Condition()
        self._sizes: dict[str, int] = {}
        # The least recently used first.
        self._versions: OrderedDict[str, LoadedVersion] = OrderedDict()
        self._total = 0
        # Of versions that are being loaded.
        self._reserved = 0
        self._pinned: frozenset[str] = frozenset()
        # No longer here, but requests may hold them: they go when the last one is answered.
        self._leaving: WeakSet[LoadedVersion] = WeakSet()

    def __len__(self) -> int:
        return len(self._versions)

    def engines(self) -> Counter[str]:
        """Return how many versions each engine runs."""
        with self._changed:
            return Counter(version.engine.name for version in self._versions.values())

    @property
    def bytes(self) -> int:
        """The bytes of all versions in memory, with those that only requests hold."""
        with self._changed:
            return self._total + self._held()

    def get(self, version_id: str) -> LoadedVersion | None:
        """Return a version if it is here. It is the most recently used one from now on."""
        with self._changed:
            found = self._versions.get(version_id)
            if found is not None:
                self._versions.move_to_end(version_id)
            return found

    def peek(self, version_id: str) -> LoadedVersion | None:
        """Return a version if it is here. Does not count as use."""
        return self._versions.get(version_id)

    def __contains__(self, version_id: str) -> bool:
        """Say whether a version is here. Does not count as use."""
        return version_id in self._versions

    @contextmanager
    def room(self, size: int) -> Iterator[None]:
        """Evict versions until `size` bytes are free, and keep these free meanwhile.

        Blocks while other loads, or requests that hold evicted versions, need the room; after some
        seconds it goes on without.
        """
        with self._changed:
            self._wait_for_room(size)
            self._reserved += size
        try:
            yield
        finally:
            with self._changed:
                self._reserved -= size
                self._evict(0)
                self._changed.notify_all()

    def add(self, version: LoadedVersion) -> None:
        """Add a version, for which `room` was made."""
        with self._changed:
            self._versions[version.id] = version
            self._measure(version)

    def resized(self, version: LoadedVersion) -> None:
        """Count a version's bytes again after they changed, and evict others if necessary."""
        with self._changed:
            if self._versions.get(version.id) is version:
                self._versions.move_to_end(version.id)
                self._measure(version)
                self._evict(0)

    def discard(self, version_id: str) -> None:
        """Remove a version if it is here. Requests that hold it are answered."""
        with self._changed:
            self._remove(version_id)

    def pin(self, version_ids: Collection[str]) -> None:
        """Say which versions are pinned, in place of those before; they need not be here."""
        with self._changed:
            self._pinned = frozenset(version_ids)
            held = sum(self._sizes.get(version_id, 0) for version_id in self._pinned)
        if held > self.budget:
            log.warning("pinned_versions_exceed_model_memory", bytes=held, budget=self.budget)

    def _measure(self, version: LoadedVersion) -> None:
        size = version.bytes
        self._total += size - self._sizes.get(version.id, 0)
        self._sizes[version.id] = size

    def _wait_for_room(self, size: int) -> None:
        begun = time.monotonic()
        while not self._evict(size):
            # What is left is pinned, leaving or being loaded. Only pinned ones stay.
            waited = time.monotonic() - begun
            if waited > (_LOADING_SECONDS if self._reserved else _RELEASE_SECONDS):
                return
            if not self._reserved and not self._held():
                return
            self._changed.wait(_LOOK_SECONDS)

    def _evict(self, size: int) -> bool:
        """Evict until `size` bytes are free; False if that is not possible now."""
        excess = self._total + self._reserved + size - self.budget
        if excess > 0:
            evictable = self._evictable()
            # The most recently used one stays beyond the budget until another needs the room.
            for version_id in evictable if size else evictable[:-1]:
                excess -= self._sizes[version_id]
                self._remove(version_id)
                self.evictions += 1
                if excess <= 0:
                    break
        return excess + self._held() <= 0

    def _evictable(self) -> list[str]:
        """Return all but the pinned versions, the least recently used first.

        Where the pinned ones do not fit together, those that were used last stay.
        """
        left = self.budget
        kept = set()
        for version_id in reversed(self._versions):
            if version_id in self._pinned and self._sizes[version_id] <= left:
                left -= self._sizes[version_id]
                kept.add(version_id)
        return [version_id for version_id in self._versions if version_id not in kept]

    def _remove(self, version_id: str) -> None:
        version = self._versions.pop(version_id, None)
        if version is not None:
            self._total -= self._sizes.pop(version_id)
            self._leaving.add(version)

    def _held(self) -> int:
        return sum(version.bytes for version in self._leaving)
