"""`accrue backup`: one consistent copy of the database and of every blob that it needs.

The database is copied first, as of one moment, then the blobs that the copy names. What is deleted
meanwhile stays in the storage for the grace of the sweep. Where bytes go all the same, as by a
purge that does not wait, the database is copied again: the newer copy does not need them.

A folder with a backup has ``accrue.db``, a SQLite database whatever the service's own is, and
``blobs/``, in the layout of the storage. The next backup into it replaces the database once all of
its blobs are there, so at any moment the folder has a whole backup. Checkpoints are left out: jobs
start from the beginning instead.
"""

import fcntl
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import orjson
from sqlalchemy import delete

import migrations
from app.db import copying
from app.db.engine import Database, parse_url
from app.db.repositories import blobs as blob_rows
from app.db.tables import JobCheckpoint
from app.services.upkeep import integrity
from app.storage import BlobCorruptError, BlobMissingError, BlobStore, LocalBlobStore, each
from app.storage.durable import sync

DATABASE = "accrue.db"
BLOBS = "blobs"
_MARK = "backup.json"
_UNFINISHED = "unfinished.db"
# Copies of the database until none of its blobs is deleted before it is fetched.
_TRIES = 5


class NotABackupError(Exception):
    """The folder has files, and they are not a backup."""


class BackupRunningError(Exception):
    """Another process makes a backup in the folder."""


class DatabaseDamagedError(Exception):
    """The database, or a copy of it, is not whole."""


@dataclass
class BackedUp:
    """Counts of what a backup holds, and what the storage has lost or holds damaged."""

    blobs: int = 0
    bytes: int = 0
    problems: list[str] = field(default_factory=list)


def make(db: Database, store: BlobStore, folder: Path) -> BackedUp:
    """Make a backup in a folder that is empty or has an earlier one, which is replaced.

    Raises NotABackupError, BackupRunningError, DatabaseDamagedError, OSError and SQLAlchemyError.
    The earlier backup stays then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / _MARK).exists():
        if any(folder.iterdir()):
            raise NotABackupError
        (folder / _MARK).write_bytes(orjson.dumps({"format": 1}))
    with _alone(folder):
        return _make(db, store, folder)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from making a backup in the folder. Raises BackupRunningError."""
    with (folder / _MARK).open("r+b") as mark:
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BackupRunningError from error
        yield


def _make(db: Database, store: BlobStore, folder: Path) -> BackedUp:
    copies = LocalBlobStore(folder / BLOBS)
    copies.remove_unfinished(datetime.now(UTC))
    unfinished = folder / _UNFINISHED
    for _ in range(_TRIES):
        _copy_database(db, unfinished)
        copy = Database(f"sqlite:///{unfinished}")
        try:
            result, lost = _fetch(copy, store, copies)
            result.problems = integrity.users(copy, lost)
        finally:
            copy.close()
        with db.reading() as session:
            still_needed = blob_rows.needed(session, lost)
        # What was deleted since the copy is nothing that a newer copy needs.
        if not set(lost) - still_needed:
            break
    unfinished.replace(folder / DATABASE)
    sync(folder)
    _remove_unneeded(folder, copies)
    return result


def _copy_database(db: Database, target: Path) -> None:
    for left in target.parent.glob(f"{target.name}*"):
        left.unlink()
    url = f"sqlite:///{target}"
    if db.engine.dialect.name == "sqlite":
        try:
            copying.copy_sqlite(Path(db.engine.url.database or ""), target)
        except sqlite3.Error as error:
            raise DatabaseDamagedError(str(error)) from error
        migrations.upgrade(url)
    else:
        migrations.upgrade(url)
        own = db.engine.url.render_as_string(hide_password=False)
        copying.copy_rows(own, url)
    if damages := copying.damages(target):
        raise DatabaseDamagedError("; ".join(damages))
    copy = Database(url)
    try:
        with copy.transaction() as session:
            session.execute(delete(JobCheckpoint))
            blob_rows.remove_unneeded(session)
    finally:
        copy.close()


def _fetch(copy: Database, store: BlobStore, copies: LocalBlobStore) -> tuple[BackedUp, list[str]]:
    """Fetch the blobs that a copy of the database needs; return those that cannot be had."""

    def fetch(sha256: str) -> bool:
        try:
            copies.get(sha256)
        except (BlobMissingError, BlobCorruptError):
            try:
                put(store.get(sha256))
            except (BlobMissingError, BlobCorruptError):
                return False
        return True

    result, lost = BackedUp(), []
    with copies.bulk() as put:
        for batch in integrity.needed(copy):
            for (sha256, size), there in zip(batch.items(), each(store, fetch, batch), strict=True):
                if there:
                    result.blobs += 1
                    result.bytes += size
                else:
                    lost.append(sha256)
    return result, lost


def _remove_unneeded(folder: Path, copies: LocalBlobStore) -> None:
    """Remove the blobs of earlier backups, so that what was purged is not kept here."""
    copy = Database(f"sqlite:///{folder / DATABASE}")
    try:
        kept = {sha256 for batch in integrity.needed(copy) for sha256 in batch}
    finally:
        copy.close()
    for blob in list(copies.stored()):
        if blob.sha256 not in kept:
            copies.delete(blob.sha256)


def is_backup(folder: Path) -> bool:
    """Say whether a folder has a finished backup."""
    return (folder / _MARK).exists() and (folder / DATABASE).exists()


def sqlite_path(url: str) -> Path | None:
    """Return the file of a SQLite database, None for PostgreSQL."""
    parsed = parse_url(url)
    return Path(parsed.database or "") if parsed.drivername == "sqlite" else None
