"""What every blob store offers."""

import errno
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class BlobMissingError(Exception):
    """No blob under that hash."""

    def __str__(self) -> str:
        return f"the storage has no blob {self.args[0]}"


class BlobCorruptError(Exception):
    """The bytes under a hash do not have that hash."""

    def __str__(self) -> str:
        return f"the bytes of blob {self.args[0]} in the storage are damaged"


class StoredBlob(NamedTuple):
    """A blob as the storage lists it: its size in bytes and when it was last put."""

    sha256: str
    size: int
    put_at: datetime


def is_full(error: OSError) -> bool:
    """Say whether a store takes no more until somebody has made room."""
    return error.errno in _FULL


class BlobStore(Protocol):
    """Bytes under their SHA-256 (64 lower-case hex digits). Blobs are immutable.

    Beside them lie documents: small JSON texts under names such as ``a/b.json``, which may change.
    A store is safe to use from several threads. Every method may raise OSError: the disk is broken,
    or the network, or access is refused; `is_full` tells the one that room would help.
    """

    @property
    def parallel(self) -> int:
        """Calls that are worth making at once, where each waits for a network; 1 for a disk."""

    def put(self, data: bytes) -> str:
        """Store the bytes durably and return their hash; again, it mends what was damaged.

        A blob counts as put now also where it was there already. Where the put fails, nothing that
        is half-written is ever read.
        """

    def get(self, sha256: str, *, verify: bool = True) -> bytes:
        """Return the bytes, with their hash checked unless told not to.

        Raises BlobMissingError and BlobCorruptError.
        """

    def exists(self, sha256: str) -> bool:
        """Say whether the blob is there, whatever was put or deleted before the call."""

    def put_at(self, sha256: str) -> datetime | None:
        """Return when the blob was last put, None where there is none."""

    def delete(self, sha256: str) -> None:
        """Remove the blob; removing what is not there is no error."""

    def stored(self) -> Iterator[StoredBlob]:
        """List the blobs in the order of their hashes.

        What is put or deleted meanwhile may be among them or not.
        """

    def remove_unfinished(self, before: datetime, *, dry_run: bool = False) -> int:
        """Remove what puts begun before a moment and never ended left behind; return how many."""

    def path(self, sha256: str) -> Path | None:
        """Return the blob as a local file to stream from, None where there is none."""

    def link(self, sha256: str, media_type: str, seconds: int) -> str | None:
        """Return a URL at which whoever has it finds the blob for so long, None where none can be.

        Whether the blob is there is not looked at.
        """

    def write_document(self, name: str, data: bytes) -> None:
        """Write a document durably, whole or not at all."""

    def read_document(self, name: str) -> bytes | None:
        """Return a document, None where there is none."""

    def remove_document(self, name: str) -> None:
        """Remove a document; removing what is not there is no error."""

    def documents(self, prefix: str) -> list[str]:
        """Return the names of the documents below a folder such as ``a/``, sorted."""

    def check(self) -> None:
        """Raise OSError when the storage cannot be read from and written to."""
