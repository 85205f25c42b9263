"""Exponential backoff: what has failed is tried again after pauses that double."""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Failed:
    retry_at: float
    pause: float


class Backoff:
    """When each of several things that failed may be tried again, by its id."""

    def __init__(
        self, first: float, longest: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Pause for `first` seconds after a failure, and twice as long after each, to `longest`."""
        self._first = first
        self._longest = longest
        self._clock = clock
        self._failed: dict[str, _Failed] = {}

    def due(self, id_: str) -> bool:
        """Say whether a thing may be tried now."""
        failed = self._failed.get(id_)
        return failed is None or self._clock() >= failed.retry_at

    def failed(self, id_: str) -> float:
        """Record that a try has failed just now. Return the pause in seconds."""
        before = self._failed.get(id_)
        pause = self._first if before is None else min(2 * before.pause, self._longest)
        self._failed[id_] = _Failed(self._clock() + pause, pause)
        return pause

    def succeeded(self, id_: str) -> None:
        """Drop what is recorded of a thing."""
        self._failed.pop(id_, None)

    def retain(self, ids: Collection[str]) -> None:
        """Drop what is recorded of all other things."""
        self._failed = {id_: failed for id_, failed in self._failed.items() if id_ in ids}
