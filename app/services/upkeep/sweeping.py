"""The sweep: what nothing needs any more leaves the storage, once it has been there for a while.

Blobs are written before the rows that refer to them: while an upload is received, before a version
is published. So what nothing refers to is left alone for a grace period after it was last put, and
a put makes old bytes young again. What decides in the end is the blob's row: it is locked while the
bytes are deleted, and whoever wants to refer to it waits, then asks whether they are there.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import islice

import orjson
import structlog

from app.db.engine import UNAVAILABLE, Database
from app.db.repositories import (
    blobs as blob_rows,
    classifiers as classifier_rows,
    installation as installation_rows,
)
from app.services import stored
from app.services.upkeep import manifests, retention
from app.settings import Settings
from app.storage import BlobStore, StoredBlob

# Blobs looked at in one transaction.
_PORTION = 200
_IDENTITY = "installation.json"

log = structlog.get_logger(__name__)


class ForeignStorageError(Exception):
    """The storage belongs to another database, so what this one does not know may be needed."""

    def __init__(self) -> None:
        super().__init__(
            "The storage belongs to another database, or this one was lost and made anew. Nothing "
            "is deleted from it. `accrue reindex` makes it this database's."
        )


@dataclass
class Swept:
    """What a sweep removed, or would remove."""

    blobs: int = 0
    bytes: int = 0
    unfinished_writes: int = 0
    documents: int = 0
    uploads: int = 0
    versions: int = 0


def check_ours(db: Database, store: BlobStore) -> None:
    """Make the storage this database's where it is nobody's. Raises ForeignStorageError."""
    with db.reading() as session:
        own = installation_rows.identity(session)
    if own is None:
        with db.transaction() as session:
            own = installation_rows.ensure_identity(session, db.now(session))
    found = owner(store)
    if found is None:
        take_over(db, store)
    elif found != own:
        raise ForeignStorageError


def owner(store: BlobStore) -> str | None:
    """Return the identity of the database that the storage belongs to, None for nobody's.

    Where it cannot be read it is that of no database: what is there may be somebody's.
    """
    document = store.read_document(_IDENTITY)
    if document is None:
        return None
    try:
        return str(orjson.loads(document)["database"])
    except (ValueError, KeyError, TypeError):
        log.warning("storage_identity_unreadable", document=_IDENTITY)
        return "unreadable"


def take_over(db: Database, store: BlobStore) -> None:
    """Make the storage this database's, whosever it was."""
    with db.transaction() as session:
        own = installation_rows.ensure_identity(session, db.now(session))
    store.write_document(_IDENTITY, orjson.dumps({"format": 1, "database": own}))


def sweep(
    db: Database,
    store: BlobStore,
    settings: Settings,
    *,
    dry_run: bool = False,
    pause: Callable[[], None] = lambda: None,
) -> Swept:
    """Remove what nothing needs; a dry run only counts blobs and what writes left behind.

    `pause` is called between portions, and may raise to end the sweep there. Two sweeps at once do
    no harm. Raises ForeignStorageError with nothing removed, and OSError.
    """
    check_ours(db, store)
    with db.reading() as session:
        now = db.now(session)
        ids = classifier_rows.all_ids(session)
    before = now - timedelta(hours=settings.sweep_grace_hours)
    swept = Swept()
    if not dry_run:
        swept.uploads = len(retention.expire_uploads(db, settings.upload_retention_days))
        for classifier_id in ids:
            swept.versions += see_to(db, store, classifier_id, compare=True) or 0
            pause()
    swept.documents = manifests.remove_unknown(store, ids, dry_run=dry_run)
    swept.unfinished_writes = store.remove_unfinished(before, dry_run=dry_run)
    for portion in _portions(store, before):
        removed = _unneeded(db, portion)
        if removed and not dry_run:
            removed = _remove(db, store, removed, before)
        swept.blobs += len(removed)
        swept.bytes += sum(removed.values())
        pause()
    if not dry_run:
        _forget_gone(db, store, before, pause)
    log.info("swept", dry_run=dry_run, **asdict(swept))
    return swept


def see_to(
    db: Database, store: BlobStore, classifier_id: str, *, compare: bool = False
) -> int | None:
    """Apply a classifier's retention, and have its documents follow it.

    Return how many versions went; None where it failed, which is logged: others are not to wait for
    what is wrong with one. Raises one of `UNAVAILABLE`, as that is not about this one.
    """
    try:
        removed = retention.follow(db, classifier_id)
        manifests.keep(db, store, classifier_id, compare=compare)
    except UNAVAILABLE:
        raise
    except Exception:  # whatever it is, the others are seen to
        log.exception("housekeeping_failed", classifier=classifier_id)
        return None
    return len(removed)


def _portions(store: BlobStore, before: datetime) -> Iterator[list[StoredBlob]]:
    old = (blob for blob in store.stored() if blob.put_at < before)
    while portion := list(islice(old, _PORTION)):
        yield portion


def _unneeded(db: Database, portion: list[StoredBlob]) -> dict[str, int]:
    """Return those that nothing refers to, hash to bytes."""
    sizes = {blob.sha256: blob.size for blob in portion}
    with db.reading() as session:
        for sha256 in blob_rows.needed(session, list(sizes)):
            del sizes[sha256]
    return sizes


def _remove(
    db: Database, store: BlobStore, sizes: dict[str, int], before: datetime
) -> dict[str, int]:
    """Remove blobs unless they are needed or put again by now; return those removed."""
    with db.transaction() as session:
        # Bytes without a row get one, to be locked while they are deleted.
        blob_rows.record(session, sizes, db.now(session))
        released = blob_rows.release(session, sizes)
    gone = stored.delete_unreferenced(db, store, released, before=before)
    return {sha256: sizes[sha256] for sha256 in gone}


def _forget_gone(
    db: Database, store: BlobStore, before: datetime, pause: Callable[[], None]
) -> None:
    """Remove rows that were to go with their bytes, where something died after those had gone."""
    last = ""
    while True:
        with db.reading() as session:
            found = blob_rows.next_unreferenced(session, last, limit=_PORTION)
        if not found:
            return
        if gone := [sha256 for sha256 in found if not store.exists(sha256)]:
            stored.delete_unreferenced(db, store, gone, before=before)
        last = found[-1]
        pause()
