"""The LRU cache of tensors: bounded, verified, and its failures are harmless."""

import hashlib
import os
import subprocess
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from app.storage import CachedTensorStore, CacheFolder, LocalBlobStore, open_store, with_cache
from tests.s3 import S3Server

KILOBYTE = 1000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def cached(s3_url: str, folder: Path) -> CachedTensorStore:
    store = with_cache(open_store(s3_url), CacheFolder(folder, 10 * KILOBYTE))
    assert isinstance(store, CachedTensorStore)
    return store


def kept(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def blob(number: int) -> bytes:
    return bytes([number]) * KILOBYTE


def test_what_was_read_or_put_is_read_near(
    cached: CachedTensorStore, s3_url: str, s3_server: S3Server, folder: Path
) -> None:
    put = cached.put(b"put here")
    elsewhere = open_store(s3_url).put(b"put elsewhere")
    assert cached.get(elsewhere) == b"put elsewhere"
    before = len(s3_server.requests())
    assert cached.get(put) == b"put here"
    assert cached.get(elsewhere) == b"put elsewhere"
    assert len(s3_server.requests()) == before
    assert kept(folder) == {put, elsewhere}


def test_what_was_used_lately_stays(cached: CachedTensorStore, folder: Path) -> None:
    hashes = [cached.put(blob(number)) for number in range(10)]
    for age, sha256 in enumerate(hashes):
        os.utime(folder / sha256, (10**9 - age, 10**9 - age))
    cached.get(hashes[9])  # the oldest until now
    cached.put(blob(10) + blob(11))
    assert kept(folder) & set(hashes) == {*hashes[:7], hashes[9]}
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 10 * KILOBYTE
    assert cached.get(hashes[8]) == blob(8)  # fetched again


def test_what_is_larger_than_the_cache_leaves_it_alone(
    cached: CachedTensorStore, folder: Path
) -> None:
    small = cached.put(b"small")
    large = cached.put(bytes(11 * KILOBYTE))
    assert len(cached.get(large)) == 11 * KILOBYTE
    assert kept(folder) == {small}


@pytest.mark.parametrize("damaged", [b"", b"some byte", b"some bytez"])
def test_a_damaged_file_is_fetched_again(
    cached: CachedTensorStore, folder: Path, damaged: bytes
) -> None:
    sha256 = cached.put(b"some bytes")
    (folder / sha256).write_bytes(damaged)
    assert cached.get(sha256, verify=False) == b"some bytes"
    assert (folder / sha256).read_bytes() == b"some bytes"


def test_whether_it_is_there_is_not_the_cache_s_to_say(
    cached: CachedTensorStore, s3_url: str
) -> None:
    sha256 = cached.put(b"x")
    open_store(s3_url).delete(sha256)
    assert not cached.exists(sha256)


def test_files_that_killed_processes_left_go(cached: CachedTensorStore, folder: Path) -> None:
    cached.put(b"x")
    for name, age in (("old.unfinished", 10**9), ("new.unfinished", None)):
        (folder / name).write_bytes(b"half")
        if age:
            os.utime(folder / name, (age, age))
    cached.put(b"y")
    assert {name for name in kept(folder) if "." in name} == {"new.unfinished"}


def test_a_cache_that_cannot_be_written_costs_time_alone(s3_url: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder can be in here")
    store = with_cache(open_store(s3_url), CacheFolder(tmp_path / "file" / "cache", 1000))
    assert store.get(store.put(b"x")) == b"x"


def test_a_cache_for_reading_alone_is_read(s3_url: str, small_disk: Path) -> None:
    origin = open_store(s3_url)
    store = with_cache(origin, CacheFolder(small_disk, 1000))
    good, damaged = store.put(b"good"), store.put(b"damaged")
    (small_disk / damaged).write_bytes(b"damage")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert store.get(damaged) == b"damaged"
    origin.delete(good)
    assert store.get(good) == b"good"
    assert not store.exists(good)


def test_no_cache_for_a_folder_or_without_room(s3_url: str, tmp_path: Path) -> None:
    local, distant = LocalBlobStore(tmp_path), open_store(s3_url)
    assert with_cache(local, CacheFolder(tmp_path, 1000)) is local
    assert with_cache(distant, CacheFolder(tmp_path, 0)) is distant


def _read_all(url: str, folder: Path, hashes: list[str]) -> bool:
    store = with_cache(open_store(url), CacheFolder(folder, 4 * KILOBYTE))
    return all(
        hashlib.sha256(store.get(sha256)).hexdigest() == sha256
        for _ in range(10)
        for sha256 in hashes
    )


def test_many_processes_share_a_folder_that_is_too_small(s3_url: str, folder: Path) -> None:
    store = open_store(s3_url)
    hashes = [store.put(blob(number)) for number in range(6)]
    with ProcessPoolExecutor(3) as pool:
        ended = [pool.submit(_read_all, s3_url, folder, hashes[::step]) for step in (1, -1, 1)]
        assert all(end.result() for end in ended)
    # Each may have seen room for its own.
    assert len(kept(folder)) <= 4 + 2
