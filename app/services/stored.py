"""Rows for blobs that are in the storage, so that there never is a row without its bytes."""

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar

from sqlalchemy.orm import Session

from app.db.repositories import blobs as blob_rows
from app.errors import ServiceError
from app.storage import BlobStore, each


class StorageFullError(ServiceError):
    """The storage takes no more."""

    status: ClassVar[int] = 507
    code: ClassVar[str] = "storage-full"
    title: ClassVar[str] = "Storage full"


class StorageUnavailableError(ServiceError):
    """The storage cannot be read from or written to; trying again may help."""

    status: ClassVar[int] = 503
    code: ClassVar[str] = "storage-unavailable"
    title: ClassVar[str] = "Storage unavailable"

    def __init__(self) -> None:
        super().__init__("The storage does not answer as it should.", headers={"Retry-After": "5"})


class StorageChangedError(ServiceError):
    """What was put into the storage has been deleted from it before its rows were written."""

    status: ClassVar[int] = 503
    code: ClassVar[str] = "storage-changed"
    title: ClassVar[str] = "Storage changed"


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
