"""Blobs in a local folder."""

import errno
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path

from app.storage import names
from app.storage.base import BlobCorruptError, BlobMissingError, StoredBlob
from app.storage.durable import FileSystem, sync

_SHARD = "[0-9a-f]" * 2


class LocalBlobStore:
    """A `BlobStore` in a local folder."""

    parallel = 1

    def __init__(self, root: str | Path) -> None:
        self._root = Path(root)
        # In the same file system as the blobs, so that a rename is atomic.
        self._incoming = self._root / names.INCOMING
        self._documents = self._root / names.DOCUMENTS
        self._incoming.mkdir(parents=True, exist_ok=True)

    def put(self, data: bytes) -> str:
        """Store the bytes durably and return their hash. A damaged blob is repaired."""
        sha256, target = self._find(data)
        if target is None:
            self._write_atomically(data, self._target(sha256))
        else:
            # A bulk that has not ended may have written it.
            sync(target)
            self._sync_folders(target.parent)
        return sha256

    @contextmanager
    def bulk(self) -> Iterator[Callable[[bytes], str]]:
        """Give a `put` for many blobs, all of which are durable once the block has ended.

        After a power failure before that, a file may be empty: the next put of its blob repairs it.
        """

        def put(data: bytes) -> str:
            sha256, target = self._find(data)
            if target is None:
                self._write(data, self._target(sha256), durable=False)
            return sha256

        with FileSystem(self._root) as file_system:
            yield put
            file_system.sync()

    def get(self, sha256: str, *, verify: bool = True) -> bytes:
        """Return the bytes; raises BlobMissingError and BlobCorruptError."""
        path = self.path(sha256)
        if path is None:
            raise BlobMissingError(sha256)
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise BlobMissingError(sha256) from error
        if verify and hashlib.sha256(data).hexdigest() != sha256:
            raise BlobCorruptError(sha256)
        return data

    def exists(self, sha256: str) -> bool:
        """Say whether the blob exists."""
        return self.path(sha256) is not None

    def put_at(self, sha256: str) -> datetime | None:
        """Return when the blob was last put, None where it does not exist."""
        path = self.path(sha256)
        try:
            return None if path is None else _changed_at(path.stat())
        except FileNotFoundError:
            return None

    def delete(self, sha256: str) -> None:
        """Delete the blob; deleting a missing blob is not an error."""
        path = self.path(sha256)
        if path is not None:
            path.unlink(missing_ok=True)

    def stored(self) -> Iterator[StoredBlob]:
        """List the blobs in the order of their hashes."""
        for shard in sorted(self._root.glob(f"{_SHARD}/{_SHARD}")):
            with os.scandir(shard) as entries:
                files = sorted(
                    (entry for entry in entries if names.is_hash(entry.name)),
                    key=attrgetter("name"),
                )
            for entry in files:
                try:
                    status = entry.stat()
                except FileNotFoundError:
                    continue  # deleted since it was listed
                yield StoredBlob(entry.name, status.st_size, _changed_at(status))

    def remove_unfinished(self, before: datetime, *, dry_run: bool = False) -> int:
        """Remove the files of unfinished writes begun before a moment; return how many."""
        removed = 0
        for path in self._incoming.iterdir():
            try:
                if _changed_at(path.stat()) >= before:
                    continue
            except FileNotFoundError:
                continue  # finished meanwhile
            if not dry_run:
                path.unlink(missing_ok=True)
            removed += 1
        return removed

    def path(self, sha256: str) -> Path | None:
        """Return the blob's file, None where there is none."""
        if not names.is_hash(sha256):
            return None
        target = self._target(sha256)
        return target if target.exists() else None

    def link(self, sha256: str, media_type: str, seconds: int) -> None:
        """Return None: only this service serves the folder."""

    def write_document(self, name: str, data: bytes) -> None:
        """Write a document durably and atomically."""
        self._write_atomically(data, self._document(name))

    def read_document(self, name: str) -> bytes | None:
        """Return a document, None where it does not exist."""
        try:
            return self._document(name).read_bytes()
        except FileNotFoundError:
            return None

    def remove_document(self, name: str) -> None:
        """Remove a document; removing a missing document is not an error."""
        self._document(name).unlink(missing_ok=True)

    def documents(self, prefix: str) -> list[str]:
        """Return the names of the documents below a folder, sorted."""
        found = (self._documents / prefix).rglob("*.json")
        return sorted(path.relative_to(self._documents).as_posix() for path in found)

    def check(self) -> None:
        """Raise OSError when the folder cannot be read from and written to."""
        probe = self._unfinished(b"probe", durable=True)
        try:
            if probe.read_bytes() != b"probe":
                what = f"a file written to {self._root} does not read back as it was written"
                raise OSError(errno.EIO, what)
        finally:
            probe.unlink(missing_ok=True)

    def _target(self, sha256: str) -> Path:
        return self._root / names.path_of(sha256)

    def _document(self, name: str) -> Path:
        return self._root / names.path_of_document(name)

    def _find(self, data: bytes) -> tuple[str, Path | None]:
        """Return the hash of the bytes, and their file if there is an intact one; it is put now."""
        sha256 = hashlib.sha256(data).hexdigest()
        target = self._target(sha256)
        # The time is set before the file is checked: a later sweep leaves the file alone, and an
        # earlier sweep has removed it.
        return sha256, target if _touch(target) and _holds(target, data) else None

    def _write_atomically(self, data: bytes, target: Path) -> None:
        new_folder = not target.parent.is_dir()
        target.parent.mkdir(parents=True, exist_ok=True)
        self._write(data, target, durable=True)
        if new_folder:
            self._sync_folders(target.parent)
        else:
            sync(target.parent)

    def _write(self, data: bytes, target: Path, *, durable: bool) -> None:
        written = self._unfinished(data, durable=durable)
        try:
            try:
                written.replace(target)
            except FileNotFoundError:  # its folder is new
                target.parent.mkdir(parents=True, exist_ok=True)
                written.replace(target)
        except OSError:
            written.unlink(missing_ok=True)
            raise

    def _unfinished(self, data: bytes, *, durable: bool) -> Path:
        path = self._incoming / secrets.token_hex(16)
        try:
            with path.open("xb") as file:
                file.write(data)
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
        except OSError:
            path.unlink(missing_ok=True)
            raise
        return path

    def _sync_folders(self, folder: Path) -> None:
        """Flush the folder, and the entries for it in the folders around it."""
        sync(folder)
        for parent in folder.parents:
            sync(parent)
            if parent == self._root:
                break


def _holds(path: Path, data: bytes) -> bool:
    """Say whether the file exists and is intact. Reading is far cheaper than a durable write."""
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except OSError:
        return False


def _touch(path: Path) -> bool:
    """Set the file's time to now; False where it does not exist or may not be touched."""
    try:
        os.utime(path)
    except OSError:
        return False
    return True


def _changed_at(status: os.stat_result) -> datetime:
    return datetime.fromtimestamp(status.st_mtime, UTC)
