"""Blobs and their rows: a row is inserted after its bytes are stored, and deleted after them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

import structlog
from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.repositories import blobs as blob_rows
from app.errors import ServiceError
from app.storage import BlobCorruptError, BlobMissingError, BlobStore, each

log = structlog.get_logger(__name__)


class StorageFullError(ServiceError, status=507, code="storage-full"):
    """The storage is full."""


class StorageUnavailableError(ServiceError, status=503, code="storage-unavailable"):
    """The storage cannot be read from or written to; a later attempt may succeed."""

    def __init__(self) -> None:
        super().__init__(
            "The storage cannot be used at the moment. Try again later.",
            headers={"Retry-After": "5"},
        )


class StorageChangedError(ServiceError, status=503, code="storage-changed"):
    """Bytes were deleted from the storage between their put and the insert of their rows."""


@contextmanager
def reading(what: str, unreadable: ServiceError, **about: str) -> Iterator[None]:
    """Raise `unreadable` where a blob is gone or damaged, StorageUnavailableError for an OSError.

    Both are logged with `about`: as ``image_unreadable`` and ``image_not_read``, or with another
    word for `what` is read.
    """
    try:
        yield
    except OSError as error:
        log.error(f"{what}_not_read", error=error, **about)
        raise StorageUnavailableError from error
    except (BlobMissingError, BlobCorruptError) as error:
        log.error(f"{what}_unreadable", error=error, **about)
        raise unreadable from error


def record(session: Session, store: BlobStore, sizes: Mapping[str, int], now: datetime) -> None:
    """Record blobs that were put into the store, and keep others from deleting them.

    Raises StorageChangedError where one was deleted since its put: the same bytes may have belonged
    to something that was purged a moment ago. Raises OSError.
    """
    blob_rows.record(session, sizes, now)
    # Checked only now that the rows are locked: a process that deletes bytes locks their rows until
    # the store has confirmed the deletion, and the store's answer must not be older than that.
    if not all(each(store, store.exists, sizes)):
        raise StorageChangedError(
            "Bytes that were just stored have been purged. Send them again.",
            headers={"Retry-After": "1"},
        )


class Deletion(NamedTuple):
    """The blobs that are gone, and the errors of those that could not be deleted."""

    gone: list[str]
    refused: dict[str, OSError]


def delete_unreferenced(
    db: Database, store: BlobStore, hashes: Sequence[str], *, before: datetime | None = None
) -> Deletion:
    """Delete unreferenced blobs from the storage.

    Blobs stay that are referred to again, or that were put since the moment `before`, if given.
    Call this after the commit that removed the references: deleted bytes do not come back. A blob
    that could not be deleted keeps its row, so that a sweep finds it.
    """
    refused: dict[str, OSError] = {}

    def delete(sha256: str) -> bool:
        """Delete a blob unless it was put since `before`; say whether it is gone."""
        try:
            put_at = store.put_at(sha256) if before else None
            if before and put_at and put_at >= before:
                return False
            store.delete(sha256)
        except OSError as error:
            refused[sha256] = error
            return False
        return True

    with db.transaction() as session:
        blob_rows.lock_for_update(session, hashes)
        candidates = blob_rows.unreferenced(session, hashes)
        results = each(store, delete, candidates)
        deleted = [sha256 for sha256, gone in zip(candidates, results, strict=True) if gone]
        blob_rows.remove(session, deleted)
    if refused:
        error = next(iter(refused.values()))
        log.warning("blobs_not_deleted", blobs=len(refused), error=error)
    return Deletion(deleted, refused)
