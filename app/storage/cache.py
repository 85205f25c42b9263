"""An LRU cache on this machine for the tensors of a remote store.

Tensors are read by each process that loads a version and by each job that starts from one. Images
are not cached, so that a purge leaves no copies of them.
"""

import contextlib
import hashlib
import os
import secrets
import time
from pathlib import Path
from typing import NamedTuple, Self

import structlog

from app.settings import Settings
from app.storage import names
from app.storage.base import TensorStore

# An unfinished file of this age is not being written any more.
_UNFINISHED_SECONDS = 3600.0

log = structlog.get_logger(__name__)


class CacheFolder(NamedTuple):
    """Where a cache is and how many bytes it may hold; several processes may share it."""

    path: Path
    capacity: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the folder of the settings."""
        return cls(settings.cache_dir, settings.cache_megabytes * 10**6)


class CachedTensorStore:
    """A `TensorStore` that caches the bytes of another store, which answers whether they exist."""

    def __init__(self, origin: TensorStore, cache: CacheFolder) -> None:
        self._origin = origin
        self._folder, self._capacity = cache

    @property
    def parallel(self) -> int:
        """How many calls are worth making at once."""
        return self._origin.parallel

    def put(self, data: bytes) -> str:
        """Store the bytes durably, cache them, and return their hash."""
        sha256 = self._origin.put(data)
        self._cache(sha256, data)
        return sha256

    def get(self, sha256: str, *, verify: bool = True) -> bytes:
        """Return the bytes. Cached bytes are always verified, and fetched again if damaged."""
        data = self._cached(sha256)
        if data is None:
            data = self._origin.get(sha256, verify=verify)
            self._cache(sha256, data)
        return data

    def exists(self, sha256: str) -> bool:
        """Say whether the blob exists."""
        return self._origin.exists(sha256)

    def _file(self, sha256: str) -> Path:
        return self._folder / sha256

    def _cached(self, sha256: str) -> bytes | None:
        if not names.is_hash(sha256):
            return None
        path = self._file(sha256)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("cache_unreadable", blob=sha256, error=error)
            return None
        if hashlib.sha256(data).hexdigest() == sha256:
            with contextlib.suppress(OSError):  # evicted meanwhile, or the disk is read-only
                os.utime(path)  # the time of last use
            return data
        log.warning("cache_corrupt", blob=sha256)
        self._drop(sha256)
        return None

    def _drop(self, sha256: str) -> None:
        try:
            self._file(sha256).unlink(missing_ok=True)
        except OSError as error:
            log.warning("cache_not_written", blob=sha256, error=error)

    def _cache(self, sha256: str, data: bytes) -> None:
        """Write a file atomically. If that fails, later reads are slower but still correct."""
        if len(data) > self._capacity:
            return
        unfinished = self._folder / f"{secrets.token_hex(8)}.unfinished"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._make_room(len(data))
            # Without fsync: bytes damaged by a crash have another hash.
            unfinished.write_bytes(data)
            unfinished.replace(self._file(sha256))
        except OSError as error:
            log.warning("cache_not_written", blob=sha256, error=error)
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)

    def _make_room(self, size: int) -> None:
        """Evict the least recently used files until `size` bytes fit.

        Processes that do so at once evict too much rather than too little. A process that reads an
        evicted file has it open, and reads on.
        """
        now = time.time()
        files: list[tuple[float, int, Path]] = []
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                status = path.stat()
                if names.is_hash(path.name):
                    files.append((status.st_mtime, status.st_size, path))
                elif now - status.st_mtime > _UNFINISHED_SECONDS:
                    path.unlink()
        excess = sum(held for _, held, _ in files) + size - self._capacity
        for _, held, path in sorted(files):
            if excess <= 0:
                break
            path.unlink(missing_ok=True)
            excess -= held
