"""Local folders only: their files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.storage import LocalBlobStore
from app.storage.durable import FileSystem


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
from app.storage.durable import FileSystem
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


def test_a_bulk_is_on_the_disk_when_it_has_ended(
    blobs: LocalBlobStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[set[Path]] = []
    sync = FileSystem.sync

    def watched(file_system: FileSystem) -> None:
        flushed.append(set(files(root)))
        sync(file_system)

    monkeypatch.setattr(FileSystem, "sync", watched)
    with blobs.bulk() as put:
        hashes = [put(bytes([number])) for number in range(20)]
    assert flushed == [{blobs.path(sha256) for sha256 in hashes}]


def test_errors_of_flushing_are_raised(blobs: LocalBlobStore, root: Path) -> None:
    with pytest.raises(OSError, match="Bad file descriptor"), FileSystem(root) as file_system:
        os.close(file_system._descriptor)
        try:
            file_system.sync()
        finally:
            file_system._descriptor = os.open(root, os.O_RDONLY)


def test_what_a_bulk_left_behind_at_a_power_failure_is_repaired(blobs: LocalBlobStore) -> None:
    with blobs.bulk() as put:
        sha256 = put(b"x")
    path = blobs.path(sha256)
    assert path is not None
    path.write_bytes(b"")
    with blobs.bulk() as put:
        assert put(b"x") == sha256
    assert blobs.get(sha256) == b"x"


def test_a_put_makes_durable_what_a_bulk_that_has_not_ended_wrote(
    blobs: LocalBlobStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with blobs.bulk() as put:
        sha256 = put(b"x")
        synced: list[Path] = []
        fsync = os.fsync

        def watched(descriptor: int) -> None:
            synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", watched)
        blobs.put(b"x")
    path = blobs.path(sha256)
    assert path is not None
    assert synced == [path, path.parent, path.parent.parent, root]
