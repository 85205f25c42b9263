"""The LRU cache."""

from app.inference.lru import LruCache


def test_the_least_recently_used_entry_is_evicted() -> None:
    cache: LruCache[str, int] = LruCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (1, None, 3)
    cache.put("a", 4)
    cache.put("d", 5)
    assert cache.items() == [("a", 4), ("d", 5)]
    cache.discard("a")
    cache.discard("b")
    assert (cache.items(), len(cache)) == ([("d", 5)], 1)
