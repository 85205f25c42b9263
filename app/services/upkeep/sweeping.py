"""The sweep: deletes blobs from the storage that nothing has referred to for a while.

Blobs are written before the rows that refer to them: while an upload is received, before a version
is published. And a copy of the database, made for a backup, refers to blobs for as long as it takes
to copy them as well. So a sweep leaves a blob alone for a grace period after its last put, and for
one after it was first seen that nothing refers to it: a sweep marks such a blob, a later one
deletes it. A put of existing bytes starts the first period again, a new reference ends the second.
Bytes that the database does not know are marked as well: where an older copy of it was put in
place by mistake, the newer one still needs them.

The lock on the blob's row decides in the end: it is held
while the bytes are deleted, and a transaction that wants to refer to the blob waits for it, then
checks that the bytes exist.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import islice
from logging import ERROR, INFO

import structlog

from app.db.engine import UNAVAILABLE, Database
from app.db.repositories import blobs as blob_rows, classifiers as classifier_rows
from app.services import stored
from app.services.upkeep import manifests, ownership, retention
from app.settings import Settings
from app.storage import BlobStore, StoredBlob

# Blobs that one transaction checks.
_BATCH = 200

log = structlog.get_logger(__name__)


@dataclass
class Swept:
    """Counts of what a sweep removed, or would remove.

    `undeleted` blobs should have gone and could not be deleted; `error` is that of one of them.
    """

    blobs: int = 0
    bytes: int = 0
    unfinished_writes: int = 0
    documents: int = 0
    uploads: int = 0
    versions: int = 0
    undeleted: int = 0
    error: str | None = None


def sweep(
    db: Database,
    store: BlobStore,
    settings: Settings,
    *,
    dry_run: bool = False,
    pause: Callable[[], None] = lambda: None,
    is_compared: Callable[[str], bool] = lambda _: True,
) -> Swept:
    """Remove everything that is not needed; a dry run counts blobs, documents, unfinished writes.

    `is_compared` says of a classifier whether its documents are compared with the database. `pause`
    is called between batches, and may raise to end the sweep there. Two sweeps at once do no harm.
    Raises ForeignStorageError with nothing removed, and OSError.
    """
    ownership.check(db, store)
    with db.reading() as session:
        now = db.now(session)
        ids = classifier_rows.all_ids(session)
    before = now - timedelta(hours=settings.sweep_grace_hours)
    swept = Swept()
    if not dry_run:
        swept.uploads = len(retention.expire_uploads(db, settings.upload_retention_days))
        for classifier_id in filter(is_compared, ids):
            swept.versions += maintain(db, store, classifier_id, compare=True) or 0
            pause()
    swept.documents = manifests.remove_unknown(store, ids, dry_run=dry_run)
    swept.unfinished_writes = store.remove_unfinished(before, dry_run=dry_run)
    for batch in _batches(store):
        unneeded = _unneeded(db, batch)
        with db.reading() as session:
            marks = blob_rows.unreferenced_since(session, [blob.sha256 for blob in unneeded])
        removed = _due(unneeded, marks, before)
        if not dry_run:
            _mark(db, unneeded, marks, before)
            removed = _remove(db, store, removed, before, swept)
        swept.blobs += len(removed)
        swept.bytes += sum(removed.values())
        pause()
    if not dry_run:
        _remove_rows_without_bytes(db, store, before, pause)
    log.log(ERROR if swept.undeleted else INFO, "swept", dry_run=dry_run, **asdict(swept))
    return swept


def maintain(
    db: Database, store: BlobStore, classifier_id: str, *, compare: bool = False
) -> int | None:
    """Apply a classifier's retention, and write its manifests.

    Return how many versions were deleted, None if it failed. A failure is logged and not raised, so
    that one classifier does not stop the maintenance of others; except one of `UNAVAILABLE`, which
    concerns all of them.
    """
    try:
        removed = retention.apply(db, classifier_id)
        manifests.write(db, store, classifier_id, compare=compare)
    except UNAVAILABLE:
        raise
    except Exception:  # an error of any kind must not stop the maintenance of others
        log.exception("housekeeping_failed", classifier=classifier_id)
        return None
    return len(removed)


def _batches(store: BlobStore) -> Iterator[list[StoredBlob]]:
    blobs = store.stored()
    while batch := list(islice(blobs, _BATCH)):
        yield batch


def _unneeded(db: Database, batch: list[StoredBlob]) -> list[StoredBlob]:
    """Return the blobs of a batch that nothing refers to."""
    with db.reading() as session:
        needed = blob_rows.needed(session, [blob.sha256 for blob in batch])
    return [blob for blob in batch if blob.sha256 not in needed]


def _due(
    unneeded: list[StoredBlob], marks: Mapping[str, datetime | None], before: datetime
) -> dict[str, int]:
    """Return those whose grace has ended, hash to bytes: last put and marked before the moment."""
    return {
        blob.sha256: blob.size
        for blob in unneeded
        if blob.put_at < before and (since := marks.get(blob.sha256)) is not None and since < before
    }


def _mark(
    db: Database,
    unneeded: list[StoredBlob],
    marks: Mapping[str, datetime | None],
    before: datetime,
) -> None:
    """Write down that nothing refers to these blobs; old ones without a row get one for that."""
    unknown = {
        blob.sha256: blob.size
        for blob in unneeded
        if blob.sha256 not in marks and blob.put_at < before
    }
    unmarked = [sha256 for sha256, since in marks.items() if since is None]
    if unknown or unmarked:
        with db.transaction() as session:
            now = db.now(session)
            blob_rows.hold(session, unknown, now)
            blob_rows.mark_unreferenced(session, [*unmarked, *unknown], now)


def _remove(
    db: Database, store: BlobStore, sizes: dict[str, int], before: datetime, swept: Swept
) -> dict[str, int]:
    """Remove blobs unless they are needed or were put again meanwhile; return those removed.

    Those that could not be deleted are counted in `swept`.
    """
    if not sizes:
        return {}
    with db.transaction() as session:
        released = blob_rows.release(session, sizes)
    deletion = stored.delete_unreferenced(db, store, released, before=before)
    swept.undeleted += len(deletion.refused)
    swept.error = next((str(error) for error in deletion.refused.values()), swept.error)
    return {sha256: sizes[sha256] for sha256 in deletion.gone}


def _remove_rows_without_bytes(
    db: Database, store: BlobStore, before: datetime, pause: Callable[[], None]
) -> None:
    """Remove unreferenced rows whose bytes a process deleted just before it died."""
    last = ""
    while True:
        with db.reading() as session:
            found = blob_rows.next_unreferenced(session, last, limit=_BATCH)
        if not found:
            return
        if missing := [sha256 for sha256 in found if not store.exists(sha256)]:
            stored.delete_unreferenced(db, store, missing, before=before)
        last = found[-1]
        pause()
