"""The loaded versions, within a budget of bytes: when it is full, the least recently used go."""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from weakref import WeakSet

import structlog

from app.inference.loaded import LoadedVersion

# How long a load waits for evicted versions that requests still hold, and for loads in progress:
# one of these may hang in a storage that does not answer.
_RELEASE_SECONDS = 5.0
_LOADING_SECONDS = 30.0
_LOOK_SECONDS = 0.02

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Entry:
    version: LoadedVersion
    size: int
    # Larger is more recent.
    used: int


class VersionCache:
    """Holds loaded versions by id. Threads share it; none of its methods but `room` blocks.

    `get` takes no lock, since every prediction calls it: dictionaries change in single steps.

    Pinned versions stay, as long as they fit within the budget together. One version more than
    fits is always possible, so that a version larger than the budget is served too: alone.
    """

    def __init__(self, budget: int) -> None:
        """Hold versions of up to `budget` bytes together."""
        self.budget = budget
        self.evictions = 0
        self._changed = threading.Condition()
        self._entries: dict[str, _Entry] = {}
        self._uses = itertools.count()
        self._total = 0
        # Of versions that are being loaded.
        self._reserved = 0
        self._pinned: frozenset[str] = frozenset()
        # No longer here, but requests may hold them: they go when the last one is answered.
        self._leaving: WeakSet[LoadedVersion] = WeakSet()

    def __len__(self) -> int:
        return len(self._entries)

    def engines(self) -> Counter[str]:
        """Return how many versions each engine runs."""
        with self._changed:
            return Counter(entry.version.engine.name for entry in self._entries.values())

    @property
    def bytes(self) -> int:
        """The bytes of all versions in memory, with those that only requests hold."""
        with self._changed:
            return self._total + self._held()

    def get(self, version_id: str) -> LoadedVersion | None:
        """Return a version if it is here. It is the most recently used one from now on."""
        entry = self._entries.get(version_id)
        if entry is None:
            return None
        entry.used = next(self._uses)
        return entry.version

    def peek(self, version_id: str) -> LoadedVersion | None:
        """Return a version if it is here. Does not count as use."""
        entry = self._entries.get(version_id)
        return None if entry is None else entry.version

    def __contains__(self, version_id: str) -> bool:
        """Say whether a version is here. Does not count as use."""
        return version_id in self._entries

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
            before = self._entries.get(version.id)
            size = version.bytes
            self._total += size - (0 if before is None else before.size)
            self._entries[version.id] = _Entry(version, size, next(self._uses))

    def resized(self, version: LoadedVersion) -> None:
        """Count a version's bytes again after they changed, and evict others if necessary."""
        with self._changed:
            entry = self._entries.get(version.id)
            if entry is not None and entry.version is version:
                size = version.bytes
                self._total += size - entry.size
                entry.size, entry.used = size, next(self._uses)
                self._evict(0)

    def discard(self, version_id: str) -> None:
        """Remove a version if it is here. Requests that hold it are answered."""
        with self._changed:
            self._remove(version_id)

    def pin(self, version_ids: Collection[str]) -> None:
        """Say which versions are pinned, in place of those before; they need not be here."""
        with self._changed:
            self._pinned = frozenset(version_ids)
            pinned = [entry for name, entry in self._entries.items() if name in self._pinned]
            held = sum(entry.size for entry in pinned)
        if held > self.budget:
            log.warning("pinned_versions_exceed_model_memory", bytes=held, budget=self.budget)

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
                excess -= self._entries[version_id].size
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
        by_use = sorted(self._entries, key=lambda version_id: self._entries[version_id].used)
        for version_id in reversed(by_use):
            size = self._entries[version_id].size
            if version_id in self._pinned and size <= left:
                left -= size
                kept.add(version_id)
        return [version_id for version_id in by_use if version_id not in kept]

    def _remove(self, version_id: str) -> None:
        entry = self._entries.pop(version_id, None)
        if entry is not None:
            self._total -= entry.size
            self._leaving.add(entry.version)

    def _held(self) -> int:
        return sum(version.bytes for version in self._leaving)
