"""Backups, made while things are deleted, and restored: on SQLite and files, PostgreSQL and S3."""

import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

import migrations
from app.db.copying import copy_rows
from app.db.engine import Database
from app.db.repositories import blobs as blob_rows, versions as version_rows
from app.db.tables import Base, Classifier, JobCheckpoint
from app.services.classifiers import versions
from app.services.upkeep import backup, integrity, ownership, restoration, sweeping
from app.services.uploads import uploads
from app.settings import Settings
from app.storage import BlobStore, open_store
from app.storage.names import path_of
from tests.app.services.steps.test_forgetting import held_out, images_of, run, taught
from tests.app.services.upkeep.test_sweeping import age, stored
from tests.worker.harness import WORKSPACE, Service

SQLITE, POSTGRES = ("sqlite", "folder"), ("postgresql", "s3")
both = pytest.mark.parametrize(
    ("database_url", "storage_url"), [SQLITE, POSTGRES], indirect=True, ids=["files", "servers"]
)
files_at_first = pytest.mark.parametrize(
    ("database_url", "storage_url"),
    [
        pytest.param(*SQLITE, id="files"),
        pytest.param(*POSTGRES, id="servers", marks=pytest.mark.slow),
    ],
    indirect=True,
)
sqlite_only = pytest.mark.parametrize(("database_url", "storage_url"), [SQLITE], indirect=True)


@pytest.fixture
def service(database: Database, settings: Settings) -> Service:
    return Service(database, settings)


@pytest.fixture
def elsewhere(settings: Settings, tmp_path: Path) -> Settings:
    """Another, empty installation of the other kind: SQLite, and files."""
    return settings.model_copy(
        update={
            "data_dir": tmp_path / "elsewhere",
            "database": f"sqlite:///{tmp_path}/elsewhere/accrue.db",
            "storage": None,
        }
    )


def content(db: Database) -> dict[str, list[Any]]:
    """All rows that a backup has, by table."""
    with db.reading() as session:
        return {
            table.name: sorted(tuple(map(_text, row)) for row in session.execute(select(table)))
            for table in Base.metadata.sorted_tables
            if table.name not in ("checkpoints", "blobs", "images")
        }


def _text(value: Any) -> str:
    return str(value.astimezone(UTC)) if isinstance(value, datetime) else repr(value)


def whole(settings: Settings) -> None:
    """Every blob that the database needs is in the storage, and nothing else."""
    db, store = Database(settings.database_url), open_store(settings.storage_url)
    lacking = integrity.check(db, store)
    needed = {sha256 for batch in integrity.needed(db) for sha256 in batch}
    db.close()
    assert lacking.missing == lacking.damaged == []
    assert lacking.checked == len(needed) > 0
    assert stored(store) == needed


def delete_upload(service: Service) -> None:
    upload = next(iter(uploads.page(service.db, WORKSPACE, limit=10, after=None)))
    uploads.delete(service.db, WORKSPACE, upload.id)


def delete_version(service: Service) -> None:
    versions.delete(service.db, WORKSPACE, "toy", "1")


def keep_one(service: Service) -> None:
    """The sweep that follows deletes the first two of three versions."""
    with service.db.transaction() as session:
        classifier = session.scalars(select(Classifier)).one()
        classifier.spec = {**classifier.spec, "retention": {"keep_last": 1}}


def purge(service: Service) -> None:
    run(service, service.forget("b", purge=True))


def purge_now(service: Service) -> None:
    run(service, service.forget("b", purge="now"))


deletions = pytest.mark.parametrize(
    "delete",
    [
        delete_upload,
        pytest.param(delete_version, marks=pytest.mark.slow),
        keep_one,
        purge,
        purge_now,
    ],
)


@both
def test_a_backup_is_the_same_on_another_kind_of_installation(
    service: Service, store: BlobStore, elsewhere: Settings, tmp_path: Path
) -> None:
    taught(service, "ab", "c")
    unneeded = store.put(b"what a worker that died has left")
    ownership.check(service.db, store)  # it has an identity
    before = content(service.db)
    made = backup.make(service.db, store, tmp_path / "backup")
    assert made.problems == []
    # Eight images each of a, b, c, and two tensors.
    assert made.blobs == 3 * 8 + 2
    copies = open_store(str(tmp_path / "backup/blobs"))
    assert stored(copies) == stored(store) - {unneeded}
    restored = restoration.restore(tmp_path / "backup", elsewhere)
    assert (restored.blobs, restored.moved_to) == (made.blobs, None)
    whole(elsewhere)
    db = Database(elsewhere.database_url)
    assert content(db) == before
    again = Service(db, elsewhere)
    assert run(again, again.learn(again.upload("d", count=8))) == 3
    sweeping.sweep(db, open_store(elsewhere.storage_url), elsewhere)  # the storage is its own
    db.close()


@both
def test_a_backup_comes_back_where_it_was_made(
    service: Service, store: BlobStore, settings: Settings, tmp_path: Path
) -> None:
    taught(service, "ab")
    ownership.check(service.db, store)
    before = content(service.db)
    backup.make(service.db, store, tmp_path / "backup")
    upload = service.upload("z", count=3)
    with pytest.raises(restoration.NotEmptyError):
        restoration.restore(tmp_path / "backup", settings)
    assert upload in {one.id for one in uploads.page(service.db, WORKSPACE, limit=10, after=None)}
    service.db.close()
    restored = restoration.restore(tmp_path / "backup", settings, replace=True)
    again = Database(settings.database_url)
    assert content(again) == before
    reborn = Service(again, settings)
    assert run(reborn, reborn.learn(reborn.upload("c", count=8))) == 2
    again.close()
    if restored.moved_to is not None:
        former = Database(f"sqlite:///{restored.moved_to}")
        assert upload in {one.id for one in uploads.page(former, WORKSPACE, limit=10, after=None)}
        former.close()


@files_at_first
@deletions
def test_what_is_deleted_between_the_two_copies_is_in_the_backup_or_not_needed(
    service: Service,
    store: BlobStore,
    elsewhere: Settings,
    tmp_path: Path,
    delete: Callable[[Service], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bytes of any age, and a sweep in between."""
    taught(service, "a", "b", "c")
    make_old(store)
    copy, copied = backup._copy_database, 0

    def copy_then_delete(db: Database, target: Path) -> None:
        nonlocal copied
        copy(db, target)
        copied += 1
        if copied == 1:
            delete(service)
            sweeping.sweep(service.db, store, service.settings)

    monkeypatch.setattr(backup, "_copy_database", copy_then_delete)
    assert backup.make(service.db, store, tmp_path / "backup").problems == []
    # Only bytes that did not wait are gone, and then the database is copied again.
    assert copied == (2 if delete is purge_now else 1)
    restoration.restore(tmp_path / "backup", elsewhere)
    whole(elsewhere)


@sqlite_only
@deletions
@pytest.mark.parametrize("first", ["database", "blobs"])
def test_copies_by_hand_in_both_orders(
    service: Service,
    store: BlobStore,
    settings: Settings,
    tmp_path: Path,
    delete: Callable[[Service], None],
    first: str,
) -> None:
    """With the grace, nothing is missing after deletions; `now` shows that the check sees it."""
    taught(service, "a", "b", "c")
    make_old(store)
    copy = settings.model_copy(
        update={"database": f"sqlite:///{tmp_path}/copy.db", "storage": str(tmp_path / "copied")}
    )

    def copy_database() -> None:
        migrations.upgrade(copy.database_url)
        copy_rows(service.db.engine.url.render_as_string(), copy.database_url)

    def copy_blobs() -> None:
        shutil.copytree(settings.storage_url, copy.storage_url)

    steps = [copy_database, copy_blobs]
    before, after = steps if first == "database" else reversed(steps)
    before()
    delete(service)
    sweeping.sweep(service.db, store, service.settings)
    after()
    db = Database(copy.database_url)
    lacking = integrity.check(db, open_store(copy.storage_url))
    db.close()
    assert lacking.damaged == []
    if first == "database":
        assert bool(lacking.missing) == (delete is purge_now)
    else:
        # A purge makes a version, and the later database names its tensor.
        assert len(lacking.missing) == (1 if delete in (purge, purge_now) else 0)


def make_old(store: BlobStore) -> None:
    """Where the test can: times of a bucket cannot be set."""
    if not hasattr(store, "link") or store.link("0" * 64, "", 1) is None:
        age(store, hours=1000)


@sqlite_only
def test_the_next_backup_replaces_the_one_before(
    service: Service, store: BlobStore, tmp_path: Path
) -> None:
    (upload, *_) = taught(service, "a", "b")
    folder = tmp_path / "backup"
    backup.make(service.db, store, folder)
    images = images_of(service, upload, "a")
    copies = open_store(str(folder / "blobs"))
    assert images <= stored(copies)
    damaged = min(images_of(service, upload, "a") & held(service))
    (folder / "blobs" / path_of(damaged)).write_bytes(b"rotten")
    uploads.delete(service.db, WORKSPACE, upload)
    made = backup.make(service.db, store, folder)
    assert made.problems == []
    assert len(stored(copies)) == made.blobs
    assert not images <= stored(copies), "what only the upload had is not kept"
    assert copies.get(damaged)
    assert sorted(path.name for path in folder.iterdir()) == ["accrue.db", "backup.json", "blobs"]


@sqlite_only
def test_two_backups_into_one_folder_do_not_mix(
    service: Service, store: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where last night's is not done yet: its database would be that of a half-made one."""
    service.upload("a", count=2)
    folder = tmp_path / "backup"
    refused: list[bool] = []
    read = store.get

    def get(sha256: str) -> bytes:
        if not refused:
            refused.append(True)
            with pytest.raises(backup.BackupRunningError):
                backup.make(service.db, store, folder)
        return read(sha256)

    monkeypatch.setattr(store, "get", get)
    assert backup.make(service.db, store, folder).blobs == 2
    assert refused
    assert backup.make(service.db, store, folder).blobs == 2, "the lock ends with the backup"


@sqlite_only
def test_a_backup_that_never_catches_up_says_what_it_lacks(
    service: Service, store: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where each copy of the database names bytes that are purged before they are fetched."""
    labels = iter("abcdefgh")
    kept = [service.upload(next(labels), count=1)]
    read = store.get

    def get(sha256: str) -> bytes:
        uploads.delete(service.db, WORKSPACE, kept[-1])
        store.delete(sha256)
        kept.append(service.upload(next(labels), count=1))
        return read(sha256)

    monkeypatch.setattr(store, "get", get)
    made = backup.make(service.db, store, tmp_path / "backup")
    assert made.problems == [f"upload {kept[-2]}: images"]


def held(service: Service) -> set[str]:
    return {sha256 for hashes in held_out(service, 1).values() for sha256 in hashes}


@sqlite_only
def test_what_the_storage_has_lost_is_named(
    service: Service, store: BlobStore, elsewhere: Settings, tmp_path: Path
) -> None:
    taught(service, "ab")
    (version,) = service.versions()
    with service.db.reading() as session:
        (tensor,) = version_rows.parts(session, version.id).values()
    store.delete(tensor)
    made = backup.make(service.db, store, tmp_path / "backup")
    assert made.problems == ["toy version 1: tensors head"]
    with pytest.raises(restoration.IncompleteBackupError, match="toy version 1: tensors head"):
        restoration.restore(tmp_path / "backup", elsewhere)
    assert not elsewhere.data_dir.joinpath("accrue.db").exists()
    assert restoration.restore(tmp_path / "backup", elsewhere, incomplete=True).blobs == 16


@sqlite_only
@pytest.mark.parametrize("harm", ["missing", "flipped"])
def test_a_damaged_backup_changes_nothing(
    service: Service, store: BlobStore, elsewhere: Settings, tmp_path: Path, harm: str
) -> None:
    upload = service.upload("a", count=3)
    folder = tmp_path / "backup"
    backup.make(service.db, store, folder)
    path = folder / "blobs" / path_of(min(images_of(service, upload, "a")))
    if harm == "missing":
        path.unlink()
    else:
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    with pytest.raises(restoration.IncompleteBackupError, match=f"upload {upload}: images"):
        restoration.restore(folder, elsewhere)
    assert list(elsewhere.data_dir.iterdir()) == []


@sqlite_only
def test_a_damaged_database_of_a_backup_changes_nothing(
    service: Service, store: BlobStore, elsewhere: Settings, tmp_path: Path
) -> None:
    taught(service, "ab")
    folder = tmp_path / "backup"
    backup.make(service.db, store, folder)
    file = folder / "accrue.db"
    data = bytearray(file.read_bytes())
    data[4096 * 4 : 4096 * 8] = os.urandom(4096 * 4)
    file.write_bytes(data)
    with pytest.raises(restoration.DatabaseDamagedError):
        restoration.restore(folder, elsewhere)
    assert list(elsewhere.data_dir.iterdir()) == []


@sqlite_only
def test_folders_that_are_not_backups(
    service: Service, store: BlobStore, settings: Settings, elsewhere: Settings, tmp_path: Path
) -> None:
    service.upload("a", count=3)
    with pytest.raises(backup.NotABackupError):
        backup.make(service.db, store, settings.data_dir)
    with pytest.raises(restoration.NoBackupError):
        restoration.restore(tmp_path / "nothing", elsewhere)


@files_at_first
def test_checkpoints_are_left_out(
    service: Service, store: BlobStore, elsewhere: Settings, tmp_path: Path
) -> None:
    service.classifier()
    job_id = service.learn(service.upload("a", count=3))
    with service.db.transaction() as session:
        now = service.db.now(session)
        sha256 = store.put(b"a checkpoint")
        blob_rows.record(session, {sha256: 12}, now)
        session.add(
            JobCheckpoint(
                job_id=job_id, attempt=1, sha256=sha256, size=12, fingerprint="", phase=0, epoch=0,
                step=0, device="cpu", threads=1, progress={}, created_at=now,
            )
        )  # fmt: skip
    assert backup.make(service.db, store, tmp_path / "backup").blobs == 3
    restoration.restore(tmp_path / "backup", elsewhere)
    db = Database(elsewhere.database_url)
    assert Service(db, elsewhere).job(job_id).state == "queued"
    db.close()
