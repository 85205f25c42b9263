"""Whether the storage has what the database needs: every blob, with the right bytes."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from app.db.engine import Database
from app.db.repositories import blob_users, blobs as blob_rows
from app.storage import BlobCorruptError, BlobMissingError, BlobStore, each

# Blobs that one query names.
_BATCH = 200


@dataclass
class Lacking:
    """Hashes of needed blobs that are not in the storage, and of those that are damaged there."""

    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    checked: int = 0


def needed(db: Database) -> Iterator[dict[str, int]]:
    """Yield the blobs that the database needs, hash to bytes, in batches."""
    last = ""
    while True:
        with db.reading() as session:
            batch = dict(blob_rows.next_needed(session, last, limit=_BATCH))
        if not batch:
            return
        yield batch
        last = max(batch)


def check(db: Database, store: BlobStore) -> Lacking:
    """Read every blob that the database needs, and compare its hash. Raises OSError."""

    def state(sha256: str) -> str:
        try:
            store.get(sha256)
        except BlobMissingError:
            return "missing"
        except BlobCorruptError:
            return "damaged"
        return ""

    found = Lacking()
    for batch in needed(db):
        for sha256, what in zip(batch, each(store, state, batch), strict=True):
            found.checked += 1
            if what:
                getattr(found, what).append(sha256)
    return found


def missing_from_aliased(db: Database, store: BlobStore) -> list[str]:
    """Return the hashes of tensors of versions that aliases name which the storage does not have.

    Only their existence is checked. Raises OSError.
    """
    with db.reading() as session:
        hashes = sorted(blob_users.aliased_parts(session))
    return [
        sha256
        for sha256, there in zip(hashes, each(store, store.exists, hashes), strict=True)
        if not there
    ]


def users(db: Database, hashes: list[str]) -> list[str]:
    """Say what needs these blobs."""
    with db.reading() as session:
        return blob_users.users(session, hashes)
