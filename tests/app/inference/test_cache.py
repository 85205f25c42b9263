"""The cache of loaded versions: a budget of bytes, pins, and versions that requests hold."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from app.inference import cache as cache_module
from app.inference.cache import VersionCache


class Version:
    """As much of a loaded version as the cache sees."""

    def __init__(self, name: str, size: int) -> None:
        self.id = name
        self.bytes = size


def load(cache: VersionCache, name: str, size: int = 10) -> None:
    with cache.room(size):
        cache.add(Version(name, size))  # type: ignore[arg-type]


def held(cache: VersionCache) -> set[str]:
    return {name for name in "abcdefgh" if name in cache}


def test_the_least_recently_used_make_room() -> None:
    cache = VersionCache(30)
    for name in "abc":
        load(cache, name)
    cache.get("a")
    load(cache, "d")
    assert held(cache) == {"a", "c", "d"}
    load(cache, "e", 20)
    assert held(cache) == {"d", "e"}
    assert (cache.bytes, cache.evictions) == (30, 3)


def test_one_larger_than_the_budget_is_alone() -> None:
    cache = VersionCache(30)
    for name in "ab":
        load(cache, name)
    load(cache, "c", 50)
    assert held(cache) == {"c"}
    load(cache, "d")
    assert held(cache) == {"d"}


def test_one_that_is_larger_than_estimated_stays() -> None:
    cache = VersionCache(30)
    for name in "ab":
        load(cache, name)
    with cache.room(10):
        cache.add(Version("c", 40))  # type: ignore[arg-type]
    assert held(cache) == {"c"}


def test_pinned_ones_stay_beside_one_other() -> None:
    cache = VersionCache(30)
    cache.pin({"a", "b", "c"})
    for name in "abc":
        load(cache, name)
    for name in "de":
        load(cache, name)
        assert held(cache) == {"a", "b", "c", name}
    cache.pin({"b"})
    load(cache, "f")
    assert held(cache) == {"b", "e", "f"}


def test_pins_beyond_the_budget_are_evicted() -> None:
    cache = VersionCache(20)
    cache.pin({"a", "b", "c"})
    for name in "abc":
        load(cache, name)
    # The last one is the one version more than fits, until another needs its room.
    assert held(cache) == {"a", "b", "c"}
    load(cache, "d")
    assert held(cache) == {"b", "c", "d"}


def test_a_version_that_grows_evicts_others() -> None:
    cache = VersionCache(30)
    for name in "abc":
        load(cache, name)
    grown = cache.get("b")
    assert grown is not None
    grown.bytes = 20  # type: ignore[misc]
    cache.resized(grown)
    assert held(cache) == {"b", "c"}
    assert cache.bytes == 30


def test_what_requests_hold_counts_until_they_are_answered() -> None:
    cache = VersionCache(30)
    for name in "abc":
        load(cache, name)
    request = cache.get("a")
    cache.get("b"), cache.get("c")
    with ThreadPoolExecutor() as pool:
        loading = pool.submit(load, cache, "d")
        time.sleep(0.2)
        # "a" was evicted for it, and still takes its bytes.
        assert not loading.done()
        assert request is not None
        assert cache.bytes <= 30
        del request
        loading.result(timeout=4)
    assert cache.bytes <= 30


def test_loads_at_once_stay_within_the_budget() -> None:
    cache = VersionCache(30)
    most, lock, in_use = [0], threading.Lock(), [0]

    @contextmanager
    def loading(size: int) -> Iterator[None]:
        with lock:
            in_use[0] += size
            most[0] = max(most[0], in_use[0])
        time.sleep(0.01)
        yield
        with lock:
            in_use[0] -= size

    def one(number: int) -> None:
        with cache.room(20), loading(20):
            cache.add(Version(str(number), 20))  # type: ignore[arg-type]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(16)))
    assert most == [20]


def test_a_load_that_hangs_keeps_others_waiting_for_some_time_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cache_module, "_LOADING_SECONDS", 0.1)
    cache = VersionCache(30)
    with cache.room(20):  # and this one never ends
        load(cache, "a", 20)
        assert held(cache) == {"a"}
