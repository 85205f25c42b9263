"""The contract of every store: durable, content-addressed, atomic."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from app.storage import BlobCorruptError, BlobMissingError, BlobStore, each
from tests.app.storage.conftest import Damage
from tests.e2e.harness import wait_for

# More than one part of an object that is sent in parts.
LARGE = os.urandom(17 * 2**20)


@pytest.mark.parametrize("data", [b"", b"some bytes", LARGE], ids=["nothing", "small", "large"])
def test_what_is_put_comes_back_under_its_hash(blobs: BlobStore, data: bytes) -> None:
    sha256 = blobs.put(data)
    assert sha256 == hashlib.sha256(data).hexdigest()
    assert blobs.get(sha256) == data
    assert blobs.exists(sha256)
    assert [(blob.sha256, blob.size) for blob in blobs.stored()] == [(sha256, len(data))]


def test_many_writers_of_the_same_bytes(blobs: BlobStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        (sha256,) = set(pool.map(lambda _: blobs.put(b"same"), range(50)))
    assert [blob.sha256 for blob in blobs.stored()] == [sha256]


def test_a_bulk_puts_many(blobs: BlobStore, damage: Damage) -> None:
    damaged, whole = blobs.put(b"damaged"), blobs.put(b"whole")
    damage(damaged, b"")
    bodies = [b"damaged", b"whole", *(bytes([number]) for number in range(30))]
    with blobs.bulk() as put, ThreadPoolExecutor(4) as pool:
        hashes = list(pool.map(put, bodies))
    assert hashes[:2] == [damaged, whole]
    assert [blobs.get(sha256) for sha256 in hashes] == bodies


def test_a_flipped_byte_is_noticed(blobs: BlobStore, damage: Damage) -> None:
    sha256 = blobs.put(b"some bytes")
    damage(sha256, b"some bytez")
    with pytest.raises(BlobCorruptError):
        blobs.get(sha256)
    assert blobs.get(sha256, verify=False) == b"some bytez"


@pytest.mark.parametrize("data", [b"some bytes", LARGE], ids=["small", "large"])
@pytest.mark.parametrize("how", ["empty", "short", "flipped"])
def test_putting_again_mends_what_is_damaged(
    blobs: BlobStore, damage: Damage, data: bytes, how: str
) -> None:
    sha256 = blobs.put(data)
    damage(sha256, {"empty": b"", "short": data[:-1], "flipped": data[:-1] + b"?"}[how])
    assert blobs.put(data) == sha256
    assert blobs.get(sha256) == data


@pytest.mark.parametrize("data", [b"some bytes", LARGE], ids=["small", "large"])
def test_putting_again_makes_bytes_young(blobs: BlobStore, data: bytes) -> None:
    sha256 = blobs.put(data)
    first = blobs.put_at(sha256)
    assert first is not None
    assert timedelta(hours=-1) < datetime.now(UTC) - first < timedelta(hours=1)

    def younger() -> bool:
        blobs.put(data)
        again = blobs.put_at(sha256)
        return again is not None and again > first

    wait_for(younger, 20)
    assert blobs.get(sha256) == data


@pytest.mark.parametrize("name", ["0" * 64, "../../etc/passwd", "", "A" * 64, "0" * 63 + "/"])
def test_what_is_not_there(blobs: BlobStore, name: str) -> None:
    assert not blobs.exists(name)
    assert blobs.put_at(name) is None
    with pytest.raises(BlobMissingError):
        blobs.get(name)
    blobs.delete(name)


def test_delete(blobs: BlobStore) -> None:
    sha256 = blobs.put(b"x")
    blobs.delete(sha256)
    blobs.delete(sha256)
    assert not blobs.exists(sha256)
    assert list(blobs.stored()) == []
    with pytest.raises(BlobMissingError):
        blobs.get(sha256)


def test_the_store_lists_what_it_has(blobs: BlobStore) -> None:
    put = {blobs.put(bytes([number])) for number in range(20)}
    blobs.write_document("among/them.json", b"{}")
    blobs.check()
    listed = list(blobs.stored())
    assert [blob.sha256 for blob in listed] == sorted(put)
    assert {blob.size for blob in listed} == {1}
    assert all(blob.put_at == blobs.put_at(blob.sha256) for blob in listed)


def test_the_same_call_for_many(blobs: BlobStore) -> None:
    put = [blobs.put(bytes([number])) for number in range(40)]
    blobs.delete(put[7])
    assert each(blobs, blobs.exists, put) == [number != 7 for number in range(40)]
    with pytest.raises(BlobMissingError):
        each(blobs, blobs.get, put)


def test_documents_are_replaced_whole(blobs: BlobStore) -> None:
    assert blobs.documents("a/") == []
    blobs.write_document("a/b/c.json", b"1")
    blobs.write_document("a/b/c.json", b"2")
    blobs.write_document("d.json", b"3")
    assert blobs.read_document("a/b/c.json") == b"2"
    assert blobs.documents("a/") == ["a/b/c.json"]
    blobs.remove_document("a/b/c.json")
    blobs.remove_document("a/b/c.json")
    assert blobs.read_document("a/b/c.json") is None
    assert list(blobs.stored()) == []
    with pytest.raises(ValueError, match="not the name"):
        blobs.write_document("../out.json", b"")


def test_nothing_is_unfinished_after_puts_and_checks(blobs: BlobStore) -> None:
    blobs.put(LARGE)
    blobs.check()
    assert blobs.remove_unfinished(datetime.now(UTC) + timedelta(hours=1), dry_run=True) == 0
