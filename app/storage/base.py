"""What every blob store offers."""

from pathlib import Path
from typing import Protocol


class BlobMissingError(Exception):
    """No blob under that hash."""


class BlobCorruptError(Exception):
    """The bytes under a hash do not have that hash."""


class BlobStore(Protocol):
    """Bytes under their SHA-256 (64 lower-case hex digits). Blobs are immutable."""

    def put(self, data: bytes) -> str:
        """Store the bytes durably and return their hash; again, it mends what was damaged.

        Raises OSError where the storage takes no more; nothing half-written is left.
        """

    def get(self, sha256: str, *, verify: bool = True) -> bytes:
        """Return the bytes, with their hash checked unless told not to.

        Raises BlobMissingError and BlobCorruptError.
        """

    def exists(self, sha256: str) -> bool:
        """Say whether the blob is there."""

    def delete(self, sha256: str) -> None:
        """Remove the blob; removing what is not there is no error."""

    def path(self, sha256: str) -> Path | None:
        """Return the blob as a local file to stream from, None where there is none."""

    def check(self) -> None:
        """Raise OSError when the storage cannot be read from and written to."""
