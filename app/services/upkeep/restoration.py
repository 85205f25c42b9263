"""`accrue restore`: puts a backup in place, after all of it was checked.

Nothing is changed before every blob that the database of the backup needs was read and has its
hash. Blobs are put first and the database last, so an interrupted restore can be repeated.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import migrations
from app.db import copying
from app.db.engine import Database
from app.db.repositories import restoring as restoring_rows
from app.services.upkeep import backup, in_use, integrity, ownership
from app.services.upkeep.backup import DatabaseDamagedError
from app.settings import Settings
from app.storage import BlobStore, LocalBlobStore, each, open_store
from app.storage.durable import sync

_STAGED = "restoring.db"


class NoBackupError(Exception):
    """The folder has no finished backup."""


class IncompleteBackupError(Exception):
    """Blobs of the backup are missing or damaged; the arguments say what needs them."""


class NotEmptyError(Exception):
    """There is a database or a storage with something in it; the argument says where."""


@dataclass(frozen=True)
class Restored:
    """How many blobs were restored, and where the former SQLite database was moved to."""

    blobs: int
    moved_to: Path | None


def restore(
    folder: Path, settings: Settings, *, replace: bool = False, incomplete: bool = False
) -> Restored:
    """Restore a backup into the database and the storage of the settings.

    `replace` allows that these are not empty; `incomplete` that blobs are missing or damaged.
    Raises NoBackupError, DatabaseDamagedError, IncompleteBackupError and NotEmptyError with nothing
    changed, InUseError with no more than blobs added, and OSError and SQLAlchemyError.
    """
    if not backup.is_backup(folder):
        raise NoBackupError
    if replace:
        in_use.require_unused(settings)
    copies = LocalBlobStore(folder / backup.BLOBS)
    with _staged(folder, settings.data_dir) as staged:
        source = Database(f"sqlite:///{staged}")
        try:
            lacking = integrity.check(source, copies)
            lost = {*lacking.missing, *lacking.damaged}
            if lost and not incomplete:
                raise IncompleteBackupError(*integrity.users(source, sorted(lost)))
            store = open_store(settings.storage_url)
            if not replace:
                _require_empty(settings, store)
            blobs = _put(source, copies, store, lost)
        finally:
            source.close()
        # It may have been started meanwhile.
        in_use.require_unused(settings)
        moved_to = _place(staged, settings.database_url, replace=replace)
    with closing(Database(settings.database_url)) as db:
        ownership.take_over(db, store)
    return Restored(blobs, moved_to)


@contextmanager
def _staged(folder: Path, data_dir: Path) -> Iterator[Path]:
    """Copy the database of a backup to where it can be checked and migrated."""
    data_dir.mkdir(parents=True, exist_ok=True)
    staged = data_dir.absolute() / _STAGED
    try:
        shutil.copyfile(folder / backup.DATABASE, staged)
        if damages := copying.damages(staged):
            raise DatabaseDamagedError("; ".join(damages))
        migrations.upgrade(f"sqlite:///{staged}")
        yield staged
    finally:
        for left in data_dir.glob(f"{_STAGED}*"):
            left.unlink()


def _require_empty(settings: Settings, store: BlobStore) -> None:
    file = backup.sqlite_path(settings.database_url)
    if file is not None:
        if file.exists():
            raise NotEmptyError(f"the database {file}")
    elif migrations.current(settings.database_url) is not None:
        with closing(Database(settings.database_url)) as db, db.reading() as session:
            empty = restoring_rows.is_empty(session)
        if not empty:
            raise NotEmptyError("the database")
    if next(store.stored(), None) is not None:
        raise NotEmptyError(f"the storage {settings.storage_url}")


def _put(source: Database, copies: LocalBlobStore, store: BlobStore, lost: set[str]) -> int:
    count = 0
    with store.bulk() as put:
        for batch in integrity.needed(source):
            wanted = [sha256 for sha256 in batch if sha256 not in lost]
            count += len(each(store, lambda sha256: put(copies.get(sha256)), wanted))
    return count


def _place(staged: Path, url: str, *, replace: bool) -> Path | None:
    """Make the staged file the database; return where the former file was moved to, if any."""
    target = backup.sqlite_path(url)
    if target is None:
        migrations.upgrade(url)
        copying.copy_rows(f"sqlite:///{staged}", url, replace=replace)
        return None
    moved_to = None
    if target.exists():
        moved_to = target.with_name(f"{target.name}.{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    # With its log: what is in it belongs to the former database, and must not get into this one.
    for end in ("", "-wal", "-shm"):
        former = target.with_name(target.name + end)
        if former.exists():
            if moved_to is None:
                former.unlink()
            else:
                former.rename(moved_to.with_name(moved_to.name + end))
    target.parent.mkdir(parents=True, exist_ok=True)
    with staged.open("rb") as file:
        os.fsync(file.fileno())
    shutil.move(staged, target)
    sync(target.parent)
    return moved_to
