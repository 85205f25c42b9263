"""Blobs and their rows: a row is written after its bytes, and deleted after them."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import structlog
from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.repositories import blobs as blob_rows
from app.errors import ServiceError
from app.storage import BlobStore, each

log = structlog.get_logger(__name__)


class StorageFullError(ServiceError, status=507, code="storage-full"):
    """The storage takes no more."""


class StorageUnavailableError(ServiceError, status=503, code="storage-unavailable"):
    """The storage cannot be read from or written to; trying again may help."""

    def __init__(self) -> None:
        super().__init__("The storage does not answer as it should.", headers={"Retry-After": "5"})


class StorageChangedError(ServiceError, status=503, code="storage-changed"):
    """What was put into the storage has been deleted from it before its rows were written."""


def record(session: Session, store: BlobStore, sizes: Mapping[str, int], now: datetime) -> None:
    """Record blobs that were put into the store; nobody deletes them until the commit.

    Raises StorageChangedError where one was deleted since: the same bytes may have been those of
    something that was purged a moment ago. Raises OSError.
    """
    blob_rows.record(session, sizes, now)
    # Asked after the rows are locked: who deletes bytes holds their rows meanwhile, and has been
    # told that they are gone before it lets go. A store may not answer from before that.
    if not all(each(store, store.exists, sizes)):
        raise StorageChangedError(
            "Bytes that were just stored have been purged: send them again.",
            headers={"Retry-After": "1"},
        )


def delete_unreferenced(
    db: Database, store: BlobStore, hashes: Sequence[str], *, before: datetime | None = None
) -> list[str]:
    """Delete blobs that nothing refers to from the storage; return those that were deleted.

    Not those that something refers to again or, where a moment is given, that were put since then.
    After the commit, never before: bytes that are gone do not come back. A blob that could not be
    deleted keeps its row, and so is known as one that nothing refers to.
    """
    with db.transaction() as session:
        blob_rows.lock_for_update(session, hashes)
        doomed = blob_rows.unreferenced(session, hashes)
        gone = each(store, lambda sha256: _delete(store, sha256, before), doomed)
        deleted = [sha256 for sha256, went in zip(doomed, gone, strict=True) if went]
        blob_rows.remove(session, deleted)
        return deleted


def _delete(store: BlobStore, sha256: str, before: datetime | None) -> bool:
    """Delete a blob unless it was put since; say whether it is gone."""
    try:
        put_at = store.put_at(sha256) if before else None
        if before and put_at and put_at >= before:
            return False
        store.delete(sha256)
    except OSError as error:
        log.warning("blob_not_deleted", sha256=sha256, error=str(error))
        return False
    return True
