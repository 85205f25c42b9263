"""The same call for many blobs, with as many calls at once as the store can use."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from app.storage.base import TensorStore

R = TypeVar("R")


def each(store: TensorStore, call: Callable[[str], R], hashes: Iterable[str]) -> list[R]:
    """Return the results of `call` for each hash, in their order. Raises what it raises."""
    if store.parallel == 1:
        return [call(sha256) for sha256 in hashes]
    with ThreadPoolExecutor(store.parallel) as pool:
        return list(pool.map(call, hashes))
