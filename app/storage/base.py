"""The interface of blob stores."""

import errno
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from typing import NamedTuple, Protocol

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class BlobMissingError(Exception):
    """There is no blob under that hash."""

    def __str__(self) -> str:
        return f"the storage has no blob {self.args[0]}"


class BlobCorruptError(Exception):
    """The bytes under a hash do not have that hash."""

    def __str__(self) -> str:
        return f"the bytes of blob {self.args[0]} in the storage are damaged"


class StoredBlob(NamedTuple):
    """A blob as a store lists it: its size in bytes and when it was last put."""

    sha256: str
    size: int
    put_at: datetime


def is_full(error: OSError) -> bool:
    """Say whether the error means that the store is full."""
    return error.errno in _FULL


class TensorStore(Protocol):
    """What storing and reading tensors needs of a `BlobStore`; a cache may stand before it."""

    @property
    def parallel(self) -> int:
        """How many calls are worth making at once: several over a network, 1 for a disk."""

    def put(self, data: bytes) -> str:
        """Store the bytes durably and return their hash. A damaged blob is repaired.

        A blob that exists already counts as put now. If the put fails, its half-written bytes are
        never read.
        """

    def get(self, sha256: str, *, verify: bool = True) -> bytes:
        """Return the bytes; `verify` checks their hash.

        Raises BlobMissingError and BlobCorruptError.
        """

    def exists(self, sha256: str) -> bool:
        """Say whether the blob exists; the answer reflects every put and delete before the call."""


class BlobStore(TensorStore, Protocol):
    """Content-addressed storage: immutable blobs under their SHA-256 (64 lower-case hex digits).

    A store also has documents: small JSON texts under names such as ``a/b.json``, which may change.
    Several threads may use a store. Every method may raise OSError, as when the disk or network
    fails or access is refused; `is_full` recognises the error of a full store.
    """

    def bulk(self) -> AbstractContextManager[Callable[[bytes], str]]:
        """Give a `put` for many blobs, all of which are durable once the block has ended.

        Cheaper than as many calls of `put` where making one blob durable is dear. Several threads
        may call it. Until the block has ended, nothing may be recorded of the blobs.
        """

    def put_at(self, sha256: str) -> datetime | None:
        """Return when the blob was last put, None where it does not exist."""

    def delete(self, sha256: str) -> None:
        """Delete the blob; deleting a missing blob is not an error."""

    def stored(self) -> Iterator[StoredBlob]:
        """List the blobs in the order of their hashes.

        Blobs that are put or deleted meanwhile may be listed or not.
        """

    def remove_unfinished(self, before: datetime, *, dry_run: bool = False) -> int:
        """Remove what unfinished puts, begun before a moment, left behind; return how many."""

    def link(self, sha256: str, media_type: str, seconds: int) -> str | None:
        """Return a URL that serves the blob to its holder for `seconds`, None where not supported.

        Whether the blob exists is not checked.
        """

    def write_document(self, name: str, data: bytes) -> None:
        """Write a document durably and atomically."""

    def read_document(self, name: str) -> bytes | None:
        """Return a document, None where it does not exist."""

    def remove_document(self, name: str) -> None:
        """Remove a document; removing a missing document is not an error."""

    def documents(self, prefix: str) -> list[str]:
        """Return the names of the documents below a folder such as ``a/``, sorted."""

    def check(self) -> None:
        """Raise OSError when the storage cannot be read from and written to."""
