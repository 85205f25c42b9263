"""Local folders only: their files."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.storage import LocalBlobStore


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture
def blobs(root: Path) -> LocalBlobStore:
    return LocalBlobStore(root)


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def test_putting_twice_keeps_one_file(blobs: LocalBlobStore, root: Path) -> None:
    sha256 = blobs.put(b"x")
    assert blobs.put(b"x") == sha256
    assert files(root) == [blobs.path(sha256)]


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
