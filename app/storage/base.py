"""What every blob store offers."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol


class BlobMissingError(Exception):
    """No blob under that hash."""


class BlobCorruptError(Exception):
    """The bytes under a hash do not have that hash."""


class StoredBlob(NamedTuple):
    """A blob as the storage lists it: its size in bytes and when it was last put."""

    sha256: str
    size: int
    put_at: datetime


class BlobStore(Protocol):
    """Bytes under their SHA-256 (64 lower-case hex digits). Blobs are immutable.

    Beside them lie documents: small JSON texts under names such as ``a/b.json``, which may change.
    """

    def put(self, data: bytes) -> str:
        """Store the bytes durably and return their hash; again, it mends what was damaged.

        A blob counts as put now also where it was there already. Raises OSError where the storage
        takes no more; nothing half-written is left.
        """

    def get(self, sha256: str, *, verify: bool = True) -> bytes:
        """Return the bytes, with their hash checked unless told not to.

        Raises BlobMissingError and BlobCorruptError.
        """

    def exists(self, sha256: str) -> bool:
        """Say whether the blob is there."""

    def put_at(self, sha256: str) -> datetime | None:
        """Return when the blob was last put, None where there is none."""

    def delete(self, sha256: str) -> None:
        """Remove the blob; removing what is not there is no error."""

    def stored(self) -> Iterator[StoredBlob]:
        """List the blobs; what is put or deleted meanwhile may be among them or not."""

    def remove_unfinished(self, before: datetime, *, dry_run: bool = False) -> int:
        """Remove what puts begun before a moment and never ended left behind; return how many."""

    def path(self, sha256: str) -> Path | None:
        """Return the blob as a local file to stream from, None where there is none."""

    def write_document(self, name: str, data: bytes) -> None:
        """Write a document durably, whole or not at all. Raises OSError."""

    def read_document(self, name: str) -> bytes | None:
        """Return a document, None where there is none."""

    def remove_document(self, name: str) -> None:
        """Remove a document; removing what is not there is no error."""

    def documents(self, prefix: str) -> list[str]:
        """Return the names of the documents below a folder such as ``a/``, sorted."""

    def check(self) -> None:
        """Raise OSError when the storage cannot be read from and written to."""
