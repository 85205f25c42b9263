"""The sweep, on both databases: it deletes everything that is not needed, and nothing else."""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event, func, select, update

from app.db import copying
from app.db.engine import Database
from app.db.repositories import blobs as blob_rows, installation as installation_rows
from app.db.tables import Blob, Image, Installation
from app.services.stored import StorageChangedError, delete_unreferenced
from app.services.upkeep import housekeeper, ownership, sweeping
from app.services.upkeep.housekeeper import Housekeeper, _is_compared
from app.services.upkeep.manifests import FOLDER
from app.services.uploads import uploads
from app.settings import Settings
from app.storage import BlobStore, StoredBlob
from tests.app.services.steps.test_forgetting import images_of, run, taught
from tests.databases import ONE_KIND_AT_FIRST
from tests.e2e.harness import wait_for
from tests.worker.harness import WORKSPACE, Service


@pytest.fixture
def service(database: Database, settings: Settings) -> Service:
    return Service(database, settings)


def age(store: BlobStore, *hashes: str, hours: float = 25) -> None:
    then = time.time() - hours * 3600
    for sha256 in hashes or [blob.sha256 for blob in store.stored()]:
        path = store.path(sha256)
        assert path is not None
        os.utime(path, (then, then))


def age_marks(service: Service, hours: float = 25) -> None:
    """As if all that is known to be unreferenced had been so for longer."""
    with service.db.transaction() as session:
        then = service.db.now(session) - timedelta(hours=hours)
        marked = update(Blob).where(Blob.unreferenced_since.is_not(None))
        session.execute(marked.values(unreferenced_since=then))


def stored(store: BlobStore) -> set[str]:
    return {blob.sha256 for blob in store.stored()}


def sweep(service: Service, store: BlobStore, **given: bool) -> sweeping.Swept:
    return sweeping.sweep(service.db, store, service.settings, **given)


def rows(service: Service, hashes: Sequence[str] | set[str]) -> int:
    with service.db.reading() as session:
        return sum(
            session.scalar(select(func.count()).where(table.sha256.in_(hashes))) or 0
            for table in (Blob, Image)
        )


def test_what_nothing_refers_to_goes_after_its_grace(service: Service, store: BlobStore) -> None:
    orphan = store.put(b"a tensor of a worker that died")
    assert sweep(service, store).blobs == 0
    age(store)
    assert sweep(service, store).blobs == 0
    age_marks(service)
    assert sweep(service, store, dry_run=True).blobs == 1
    assert store.exists(orphan)
    swept = sweep(service, store)
    assert (swept.blobs, swept.bytes) == (1, 30)
    assert not store.exists(orphan)
    assert rows(service, {orphan}) == 0


def test_an_older_database_put_in_place_by_mistake_leaves_what_the_newer_one_needs(
    service: Service, store: BlobStore, tmp_path: Path
) -> None:
    """For the length of the grace: long enough to put the newer one back."""
    if service.db.engine.dialect.name != "sqlite":
        pytest.skip("one copy of a file shows it")
    service.upload("a", count=2)
    sweep(service, store)
    older = tmp_path / "older.db"
    copying.copy_sqlite(Path(service.db.engine.url.database or ""), older)
    upload = service.upload("b", count=3)
    age(store, hours=1000)
    mistaken = Database(f"sqlite:///{older}")
    for _ in range(2):
        assert sweeping.sweep(mistaken, store, service.settings).blobs == 0
    mistaken.close()
    assert images_of(service, upload, "b") <= stored(store)


def test_a_sweep_writes_nothing_of_classifiers_that_are_as_they_were(
    service: Service, store: BlobStore
) -> None:
    """A commit for each of thousands would keep the disk, and everything that writes, busy."""
    taught(service, "ab")
    sweep(service, store)
    commits: list[str] = []

    def count(statement: str) -> None:
        commits.append(statement)

    event.listen(
        service.db.engine,
        "before_cursor_execute",
        lambda _c, _cursor, statement, *_: count(statement),
    )
    sweep(service, store)
    assert not [text for text in commits if text.startswith(("UPDATE", "BEGIN IMMEDIATE"))]


def test_a_day_of_sweeps_compares_each_classifier_once() -> None:
    ids = [f"cls_{number}" for number in range(500)]
    hours = [{each for each in ids if _is_compared(hour, each)} for hour in range(490_000, 490_024)]
    assert sorted(each for compared in hours for each in compared) == sorted(ids)
    assert max(map(len, hours)) < 3 * 500 / 24


@ONE_KIND_AT_FIRST
def test_lost_documents_come_back_when_their_classifier_is_compared(
    service: Service, store: BlobStore
) -> None:
    service.classifier()
    sweep(service, store)
    (lost,) = store.documents(FOLDER)
    store.remove_document(lost)
    settings = service.settings
    sweeping.sweep(service.db, store, settings, is_compared=lambda _: False)
    assert list(store.documents(FOLDER)) == []
    sweeping.sweep(service.db, store, settings, is_compared=lambda _: True)
    assert list(store.documents(FOLDER)) == [lost]


@ONE_KIND_AT_FIRST
def test_a_sweep_rests_for_longer_than_it_works(
    service: Service, store: BlobStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of classifiers must not keep a core busy for minutes."""
    for name in "abcdefgh":
        service.classifier(name)
    keeper = Housekeeper(service.db, store, settings)
    monkeypatch.setattr(sweeping.manifests, "write", lambda *_, **__: burn(0.02))
    monkeypatch.setattr(housekeeper, "_is_compared", lambda _hour, _id: True)
    begun, used = time.monotonic(), time.thread_time()
    keeper.tick()
    took, worked = time.monotonic() - begun, time.thread_time() - used
    # Eight classifiers of 0.02 s, each followed by a rest of 0.08 s; changes are followed at once,
    # without a rest, which takes 0.16 s more.
    assert worked >= 0.32
    assert took >= 0.32 + 8 * 0.08


def burn(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


@ONE_KIND_AT_FIRST
def test_what_is_needed_stays_however_old(service: Service, store: BlobStore) -> None:
    taught(service, "ab")
    service.upload("z", count=3)
    before = stored(store)
    age(store)
    assert sweep(service, store).blobs == 0
    assert stored(store) == before


def test_a_deleted_upload_leaves_what_its_version_needs(service: Service, store: BlobStore) -> None:
    (upload,) = taught(service, "ab")
    images = images_of(service, upload, "a") | images_of(service, upload, "b")
    uploads.delete(service.db, WORKSPACE, upload)
    age(store)
    assert sweep(service, store).blobs == 0
    age_marks(service)
    assert sweep(service, store).blobs == 16 - 8
    # Two exemplars and two held-out images of each class, and the version's tensor.
    left = stored(store)
    assert len(left) == 2 * (2 + 2) + 1
    assert rows(service, images) == 2 * len(left & images)


@ONE_KIND_AT_FIRST
def test_the_grace_counts_from_when_nothing_refers_to_it(
    service: Service, store: BlobStore
) -> None:
    """However old the bytes are: a copy of the database may still refer to them."""
    upload = service.upload("a", count=3)
    images = images_of(service, upload, "a")
    age(store, hours=1000)
    uploads.delete(service.db, WORKSPACE, upload)
    for _ in range(3):
        assert sweep(service, store).blobs == 0
    age_marks(service, hours=23)
    assert sweep(service, store, dry_run=True).blobs == 0
    assert sweep(service, store).blobs == 0
    assert stored(store) == images
    age_marks(service, hours=25)
    assert sweep(service, store, dry_run=True).blobs == 3
    assert sweep(service, store).blobs == 3
    assert stored(store) == set()
    assert rows(service, images) == 0


@ONE_KIND_AT_FIRST
def test_what_is_needed_again_gets_its_whole_grace_again(
    service: Service, store: BlobStore
) -> None:
    upload = service.upload("a", count=3)
    uploads.delete(service.db, WORKSPACE, upload)
    sweep(service, store)
    age_marks(service)
    again = service.upload("a", count=3)
    uploads.delete(service.db, WORKSPACE, again)
    age(store)
    for _ in range(2):
        assert sweep(service, store).blobs == 0
    age_marks(service)
    assert sweep(service, store).blobs == 3


def test_purged_bytes_have_their_grace_unless_now(service: Service, store: BlobStore) -> None:
    taught(service, "a", "b", "c")
    age(store)
    run(service, service.forget("b", purge=True))
    before = stored(store)
    assert sweep(service, store).blobs == 0
    age_marks(service)
    # Of eight images of b and the tensors of versions 2 and 3.
    assert sweep(service, store).blobs == 8 + 2
    after = stored(store)
    assert before - after
    run(service, service.forget("c", purge="now"))
    # The images of c and the tensor of version 4, at once; the new version's tensor is added.
    assert len(after - stored(store)) == 8 + 1


@ONE_KIND_AT_FIRST
def test_putting_again_makes_bytes_young(service: Service, store: BlobStore) -> None:
    orphan = store.put(b"sent again")
    age(store)
    store.put(b"sent again")
    assert sweep(service, store).blobs == 0
    assert store.exists(orphan)


@ONE_KIND_AT_FIRST
def test_bytes_sent_again_while_the_sweep_decides_stay(
    service: Service, store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan = store.put(b"sent again")
    age(store)
    ask = blob_rows.unreferenced

    def put_meanwhile(*given: object) -> list[str]:
        found = ask(*given)  # type: ignore[arg-type]
        store.put(b"sent again")
        return found

    monkeypatch.setattr(blob_rows, "unreferenced", put_meanwhile)
    assert sweep(service, store).blobs == 0
    assert store.exists(orphan)


@pytest.mark.parametrize(
    ("database_url", "storage_url"), [("sqlite", "folder"), ("postgresql", "s3")], indirect=True
)
def test_uploads_and_purges_of_the_same_bytes_never_leave_a_row_without_bytes(
    service: Service, store: BlobStore
) -> None:
    """Repeat the worst case: bytes are deleted between their put and the insert of their rows."""
    ended = threading.Event()

    def delete() -> None:
        while not ended.is_set():
            hashes = sorted(stored(store))
            with service.db.transaction() as session:
                blob_rows.record(session, dict.fromkeys(hashes, 1), datetime.now(UTC))
                released = blob_rows.release(session, hashes)
            delete_unreferenced(service.db, store, released)

    thread = threading.Thread(target=delete)
    thread.start()
    refused = 0
    try:
        for _ in range(15):
            try:
                view = uploads.get(service.db, WORKSPACE, service.upload("a", count=5))
            except StorageChangedError:
                refused += 1
                continue
            images = images_of(service, view.id, "a")
            assert len(images) == 5
            assert images <= stored(store)
            uploads.delete(service.db, WORKSPACE, view.id)
    finally:
        ended.set()
        thread.join()
    assert refused <= 15
    # None is left behind either.
    at_once = service.settings.model_copy(update={"sweep_grace_hours": 1e-9})
    wait_for(lambda: not (sweeping.sweep(service.db, store, at_once).blobs or stored(store)), 20)


def test_rows_are_refused_where_the_bytes_went_meanwhile(
    service: Service, store: BlobStore
) -> None:
    from app.services import stored as recording

    sha256 = store.put(b"x")
    store.delete(sha256)
    with pytest.raises(StorageChangedError), service.db.transaction() as session:
        recording.record(session, store, {sha256: 1}, datetime.now(UTC))
    assert rows(service, {sha256}) == 0


def test_a_row_whose_bytes_went_before_something_died_goes(
    service: Service, store: BlobStore
) -> None:
    orphans = {store.put(f"tensor {number}".encode()) for number in range(3)}
    age(store)

    with service.db.transaction() as session:
        blob_rows.record(session, dict.fromkeys(orphans, 8), service.db.now(session))
    for sha256 in orphans:  # and whoever did so died before it removed the rows
        store.delete(sha256)
    assert rows(service, orphans) == 3
    sweep(service, store, dry_run=True)
    assert rows(service, orphans) == 3
    again = store.put(b"tensor 0")  # by a worker that has not said so yet
    sweep(service, store)
    assert rows(service, orphans) == 1
    assert store.exists(again)


@ONE_KIND_AT_FIRST
def test_unfinished_writes_go(service: Service, store: BlobStore, settings: Settings) -> None:
    incoming = Path(settings.storage_url) / "incoming"
    for name, hours in (("old", 25), ("young", 1)):
        (incoming / name).write_bytes(b"half")
        then = time.time() - hours * 3600
        os.utime(incoming / name, (then, then))
    assert sweep(service, store, dry_run=True).unfinished_writes == 1
    assert sweep(service, store).unfinished_writes == 1
    assert [path.name for path in incoming.iterdir()] == ["young"]


@ONE_KIND_AT_FIRST
@pytest.mark.parametrize(
    "identity", [b'{"format": 1, "database": "ins_another"}', b"", b"[]", b"{}"]
)
def test_a_new_database_over_an_old_storage_deletes_nothing(
    service: Service, store: BlobStore, settings: Settings, identity: bytes
) -> None:
    store.write_document("installation.json", identity)
    orphan = store.put(b"a version's tensor, as far as anybody knows")
    age(store)
    with pytest.raises(ownership.ForeignStorageError):
        sweep(service, store)
    with pytest.raises(ownership.ForeignStorageError):
        Housekeeper(service.db, store, settings).tick()
    assert store.exists(orphan)


@ONE_KIND_AT_FIRST
def test_a_sweep_that_fails_stays_due(
    service: Service, store: BlobStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def due_at() -> datetime:
        with service.db.reading() as session:
            found = installation_rows.sweep_due_at(session)
        assert found is not None
        return found

    keeper = Housekeeper(service.db, store, settings)
    ownership.check(service.db, store)
    first = due_at()
    listed: list[int] = []

    def refuses() -> Iterator[StoredBlob]:
        listed.append(1)
        raise PermissionError("it may not be listed")

    monkeypatch.setattr(store, "stored", refuses)
    with pytest.raises(PermissionError):
        keeper.tick()
    assert due_at() == first, "it shows as overdue"
    keeper.tick()
    assert listed == [1], "but the storage is left in peace for a while"
    monkeypatch.undo()
    let_the_pause_pass(service)
    Housekeeper(service.db, store, settings).tick()
    assert due_at() > first


@ONE_KIND_AT_FIRST
def test_a_sweep_that_may_not_delete_is_not_done(
    service: Service, store: BlobStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphans = {store.put(name) for name in (b"first", b"second", b"third")}
    age(store)
    sweep(service, store)
    age_marks(service)
    asked: list[str] = []

    def refuses(sha256: str) -> None:
        asked.append(sha256)
        raise PermissionError(13, "s3:DeleteObject is not allowed")

    monkeypatch.setattr(store, "delete", refuses)
    keeper = Housekeeper(service.db, store, settings)
    pauses = []
    for sweeps in (1, 2, 3):
        keeper.tick()
        assert len(asked) == 3 * sweeps
        keeper.tick()
        Housekeeper(service.db, store, settings).tick()  # in another process
        assert len(asked) == 3 * sweeps, "all processes leave it in peace for a while"
        row = installation(service)
        assert row.sweep_due_at <= datetime.now(UTC), "it shows as overdue"
        assert (row.undeleted_blobs, row.sweep_failures) == (3, sweeps)
        assert row.sweep_error is not None
        assert "DeleteObject" in row.sweep_error
        assert row.sweep_not_before is not None
        pauses.append(round((row.sweep_not_before - datetime.now(UTC)).total_seconds() / 600))
        let_the_pause_pass(service)
    assert pauses == [1, 2, 4]
    assert stored(store) == orphans

    monkeypatch.undo()
    keeper.tick()
    assert not stored(store)
    row = installation(service)
    assert (row.undeleted_blobs, row.sweep_failures, row.sweep_error) == (0, 0, None)
    assert row.sweep_due_at > datetime.now(UTC)


def installation(service: Service) -> Installation:
    with service.db.reading() as session:
        return session.scalars(select(Installation)).one()


def let_the_pause_pass(service: Service) -> None:
    with service.db.transaction() as session:
        session.execute(update(Installation).values(sweep_not_before=datetime.now(UTC)))


def test_one_of_many_housekeepers_sweeps(
    service: Service, store: BlobStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    swept: list[int] = []

    def sweep(*_given: object, **_named: object) -> sweeping.Swept:
        swept.append(1)
        return sweeping.Swept()

    monkeypatch.setattr(sweeping, "sweep", sweep)
    keepers = [Housekeeper(service.db, store, settings) for _ in range(3)]
    for _ in range(2):
        for keeper in keepers:
            keeper.tick()
    assert swept == [1]
