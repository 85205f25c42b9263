"""Blobs in a local folder."""

import hashlib
import os
import re
import secrets
from pathlib import Path

from app.storage.base import BlobCorruptError, BlobMissingError

_HASH = re.compile(r"[0-9a-f]{64}")


class LocalBlobStore:
    """A `BlobStore` in a folder: ``ab/cd/abcd…``, so that no folder grows too long to list."""

    def __init__(self, root: str | Path) -> None:
        self._root = Path(root)
        # In the same file system as the blobs, so that a rename moves a whole file or nothing.
        self._incoming = self._root / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)

    def put(self, data: bytes) -> str:
        """Store the bytes durably and return their hash; again, it mends what was damaged."""
        sha256 = hashlib.sha256(data).hexdigest()
        target = self._target(sha256)
        if _holds(target, data):
            return sha256
        self._make_folder(target.parent)
        written = self._write(data)
        try:
            written.replace(target)
        except OSError:
            written.unlink(missing_ok=True)
            raise
        _sync_folder(target.parent)
        return sha256

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
        """Say whether the blob is there."""
        return self.path(sha256) is not None

    def delete(self, sha256: str) -> None:
        """Remove the blob; removing what is not there is no error."""
        path = self.path(sha256)
        if path is not None:
            path.unlink(missing_ok=True)

    def path(self, sha256: str) -> Path | None:
        """Return the blob's file, None where there is none."""
        # A name that is no hash could lead out of the folder.
        if not _HASH.fullmatch(sha256):
            return None
        target = self._target(sha256)
        return target if target.exists() else None

    def check(self) -> None:
        """Raise OSError when the folder cannot be read from and written to."""
        probe = self._write(b"probe")
        try:
            if probe.read_bytes() != b"probe":
                raise OSError(f"what was written to {self._root} does not read back")
        finally:
            probe.unlink(missing_ok=True)

    def _target(self, sha256: str) -> Path:
        return self._root / sha256[:2] / sha256[2:4] / sha256

    def _write(self, data: bytes) -> Path:
        path = self._incoming / secrets.token_hex(16)
        try:
            with path.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            path.unlink(missing_ok=True)
            raise
        return path

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        folder.mkdir(parents=True, exist_ok=True)
        # A new folder lasts once the folder that names it is on the disk.
        _sync_folder(folder.parent)
        _sync_folder(self._root)


def _holds(path: Path, data: bytes) -> bool:
    """Say whether the file is there and whole. Reading costs far less than writing durably."""
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except OSError:
        return False


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
