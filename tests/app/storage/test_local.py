"""Blobs in a folder: durable, content-addressed, whole or not there."""

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.storage import BlobCorruptError, BlobMissingError, LocalBlobStore


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
def blobs(root: Path) -> LocalBlobStore:
    return LocalBlobStore(root)


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def test_what_is_put_comes_back_under_its_hash(blobs: LocalBlobStore) -> None:
    sha256 = blobs.put(b"some bytes")
    assert sha256 == hashlib.sha256(b"some bytes").hexdigest()
    assert blobs.get(sha256) == b"some bytes"
    assert blobs.exists(sha256)
    path = blobs.path(sha256)
    assert path is not None
    assert path.read_bytes() == b"some bytes"


def test_putting_twice_keeps_one_file(blobs: LocalBlobStore, root: Path) -> None:
    assert blobs.put(b"x") == blobs.put(b"x")
    assert len(files(root)) == 1


def test_many_writers_of_the_same_bytes(blobs: LocalBlobStore, root: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        hashes = set(pool.map(lambda _: blobs.put(b"same"), range(50)))
    assert len(hashes) == 1
    assert len(files(root)) == 1


def test_a_flipped_byte_is_noticed(blobs: LocalBlobStore) -> None:
    sha256 = blobs.put(b"some bytes")
    path = blobs.path(sha256)
    assert path is not None
    path.write_bytes(b"some bytez")
    with pytest.raises(BlobCorruptError):
        blobs.get(sha256)
    assert blobs.get(sha256, verify=False) == b"some bytez"


@pytest.mark.parametrize("damaged", [b"", b"some byte", b"some bytez"])
def test_putting_again_mends_a_damaged_file(blobs: LocalBlobStore, damaged: bytes) -> None:
    sha256 = blobs.put(b"some bytes")
    path = blobs.path(sha256)
    assert path is not None
    path.write_bytes(damaged)
    assert blobs.put(b"some bytes") == sha256
    assert blobs.get(sha256) == b"some bytes"


@pytest.mark.parametrize("name", ["0" * 64, "../../etc/passwd", "", "A" * 64, "0" * 63 + "/"])
def test_what_is_not_there(blobs: LocalBlobStore, name: str) -> None:
    assert not blobs.exists(name)
    assert blobs.path(name) is None
    with pytest.raises(BlobMissingError):
        blobs.get(name)
    blobs.delete(name)


def test_delete(blobs: LocalBlobStore) -> None:
    sha256 = blobs.put(b"x")
    blobs.delete(sha256)
    blobs.delete(sha256)
    assert not blobs.exists(sha256)


FILL_THE_DISK = """
import resource, signal, sys
from app.storage import LocalBlobStore
blobs = LocalBlobStore(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    blobs.put(bytes(5000))
except OSError:
    sys.exit(17)
"""


def test_a_write_that_fails_half_way_leaves_nothing(root: Path) -> None:
    # The limit on file sizes fails in the middle of a write, as a full disk does.
    ended = subprocess.run([sys.executable, "-c", FILL_THE_DISK, str(root)], check=False)
    assert ended.returncode == 17
    assert files(root) == []


def test_check_passes_on_a_working_folder(blobs: LocalBlobStore, root: Path) -> None:
    blobs.check()
    assert files(root) == []


def test_check_fails_when_the_folder_is_gone(blobs: LocalBlobStore, root: Path) -> None:
    (root / "incoming").rmdir()
    with pytest.raises(OSError, match="incoming"):
        blobs.check()
