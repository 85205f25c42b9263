"""Retention of versions, and of the uploads that they were learnt from."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from app.db.engine import Database
from app.db.repositories import (
    classifiers as classifier_rows,
    jobs as job_rows,
    learning as learning_rows,
    uploads as upload_rows,
)
from app.db.tables import Classifier, Job
from app.services.classifiers import aliases, classifiers, versions
from app.services.classifiers.aliases import AliasMove
from app.services.classifiers.classifiers import ClassifierPatch
from app.services.classifiers.versions import VersionInUseError
from app.services.upkeep import housekeeper, manifests, retention, sweeping
from app.services.upkeep.housekeeper import Housekeeper
from app.services.upkeep.retention import expire_uploads
from app.services.uploads import uploads
from app.settings import Settings
from app.storage import BlobStore
from tests.app.services.steps.test_forgetting import held_out, name_version, run, taught
from tests.databases import ONE_KIND_AT_FIRST, wait_for_a_lock
from tests.worker.harness import WORKSPACE, Service


@pytest.fixture
def service(database: Database, settings: Settings) -> Service:
    return Service(database, settings)


def numbers(service: Service) -> list[int]:
    return [version.number for version in service.versions()]


def classifier_id(service: Service) -> str:
    return service.versions()[0].classifier_id


def patch(service: Service, **fields: Any) -> None:
    classifiers.change(service.db, WORKSPACE, "toy", ClassifierPatch.model_validate(fields))


def there(service: Service, *ids: str) -> list[bool]:
    kept = {view.id for view in uploads.page(service.db, WORKSPACE, limit=100, after=None)}
    return [upload in kept for upload in ids]


def test_the_newest_stay_and_lose_nothing(service: Service) -> None:
    taught(service, "ab", "cd", "ef")
    extended = service.upload("a", count=4, split="test")
    more = service.upload("b", count=12)
    run(service, service.learn(more, uploads=[more, extended], on_existing="extend"))
    before = service.versions()[-1]
    metrics = service.metrics(before)
    measured = held_out(service, 4)
    with service.db.reading() as session:
        exemplars = learning_rows.exemplars(session, before.id)
        used = learning_rows.last_used(session, before.id)
    patch(service, retention={"keep_last": 1})
    assert retention.apply(service.db, classifier_id(service)) == [1, 2, 3]
    (after,) = service.versions()
    assert (after.parent_id, after.memory) == (None, before.memory)
    assert service.metrics(after) == metrics
    assert len(metrics["matrix"]) == 4
    assert held_out(service, 4) == measured
    with service.db.reading() as session:
        assert learning_rows.exemplars(session, after.id) == exemplars
        assert learning_rows.last_used(session, after.id) == used
    run(service, service.learn(service.upload("x", count=8)))
    assert numbers(service) == [4, 5]


def test_aliased_versions_and_those_that_jobs_start_from_stay(service: Service) -> None:
    taught(service, *"abcdef", retention={"keep_last": 1})
    name_version(service, "canary", 2)
    waiting = service.learn(service.upload("x", count=4), base_version=4)
    assert retention.apply(service.db, classifier_id(service)) == [1, 3, 5]
    assert numbers(service) == [2, 4, 6]
    service.cancel(waiting)
    assert retention.apply(service.db, classifier_id(service)) == [4]


@ONE_KIND_AT_FIRST
def test_what_a_job_without_a_base_will_start_from_stays(service: Service) -> None:
    taught(service, "a", "b", promotion={"policy": "manual"})
    name_version(service, "live", 1)
    run(service, service.learn(service.upload("c", count=8)))
    name_version(service, "live", 2)
    # The newest of live's line is 2 itself until this one; 4 grows elsewhere.
    run(service, service.learn(service.upload("d", count=8)))
    run(service, service.learn(service.upload("e", count=8), base_version=1))
    before = numbers(service)
    waiting = service.learn(service.upload("f", count=8))
    patch(service, retention={"keep_last": 1})
    retention.apply(service.db, classifier_id(service))
    assert 4 in numbers(service)
    with pytest.raises(VersionInUseError):
        versions.delete(service.db, WORKSPACE, "toy", "4")
    service.cancel(waiting)
    retention.apply(service.db, classifier_id(service))
    assert 4 not in numbers(service)
    assert before[-1] in numbers(service)


@ONE_KIND_AT_FIRST
def test_retention_is_taken_back(service: Service) -> None:
    taught(service, *"abc", retention={"keep_last": 1})
    patch(service, retention={"keep_last": None})
    assert retention.apply(service.db, classifier_id(service)) == []
    # One made before there was such a thing keeps all.
    with service.db.transaction() as session:
        row = session.get_one(Classifier, classifier_id(service))
        row.spec = {name: value for name, value in row.spec.items() if name != "retention"}
    assert retention.apply(service.db, classifier_id(service)) == []
    assert classifiers.get(service.db, WORKSPACE, "toy").retention.keep_last is None


@ONE_KIND_AT_FIRST
def test_housekeeping_follows_a_publication(
    service: Service, store: BlobStore, settings: Settings
) -> None:
    given = settings.model_copy(update={"upload_retention_days": 0})
    keeper = Housekeeper(service.db, store, given)
    first, second = taught(service, "a", "b", retention={"keep_last": 1})
    keeper.tick()
    assert numbers(service) == [2]
    assert there(service, first, second) == [False, False]


@ONE_KIND_AT_FIRST
def test_housekeeping_that_fails_for_one_goes_on_with_the_others(
    service: Service, store: BlobStore, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One a tick: what fails must not be all that any tick sees to.
    monkeypatch.setattr(housekeeper, "_BATCH", 1)
    keeper = Housekeeper(service.db, store, settings)
    names = [service.classifier(name) for name in ("first", "second", "third")]
    with service.db.reading() as session:
        failing, *others = classifier_rows.all_ids(session)
    # A folder where its document is to be.
    store.write_document(document := f"{manifests.folder(failing)}classifier.json", b"")
    (path,) = Path(settings.storage_url).rglob(document)
    path.unlink()
    path.mkdir()
    for _ in names:
        keeper.tick()
    documents = set(store.documents(manifests.FOLDER))
    for kept in others:
        assert f"{manifests.folder(kept)}classifier.json" in documents
    with service.db.reading() as session:
        assert classifier_rows.changed(session, limit=10) == [failing]
    # Nor does it keep a sweep from the rest.
    sweeping.sweep(service.db, store, settings)


def ended_days_ago(service: Service, days: float, **where: str) -> None:
    with service.db.transaction() as session:
        then = service.db.now(session) - timedelta(days=days)
        session.execute(update(Job).filter_by(**where).values(finished_at=then))


def test_uploads_stay_for_a_while_after_their_last_job(service: Service) -> None:
    (first,) = taught(service, "a")
    unused = service.upload("z", count=2)
    waiting = service.upload("b", count=4)
    service.learn(waiting)
    ended_days_ago(service, 6.9)
    assert expire_uploads(service.db, 7) == []
    ended_days_ago(service, 7.1)
    assert expire_uploads(service.db, 7) == [first]
    assert there(service, first, unused, waiting) == [False, True, True]


@ONE_KIND_AT_FIRST
def test_with_0_an_upload_goes_once_it_was_learnt(service: Service) -> None:
    (first,) = taught(service, "a")
    cancelled = service.upload("b", count=4)
    service.cancel(service.learn(cancelled))
    assert expire_uploads(service.db, 0) == [first]
    assert there(service, cancelled) == [True]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer
@pytest.mark.parametrize("way", ["delete", "retention"])
def test_a_version_goes_while_its_upload_does(service: Service, way: str) -> None:
    upload, _ = taught(service, "a", "b", retention={"keep_last": 1})

    def remove() -> None:
        if way == "delete":
            versions.delete(service.db, WORKSPACE, "toy", "1")
        else:
            retention.apply(service.db, classifier_id(service))

    with ThreadPoolExecutor(1) as pool:
        with service.db.transaction() as session:
            upload_rows.lock_for_update(session, upload)
            upload_rows.remove(session, upload)
            removed = pool.submit(remove)
            wait_for_a_lock(service.db)
        removed.result()
    assert numbers(service) == [2]
    assert there(service, upload) == [False]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_version_of_a_lost_race_names_no_lost_upload(service: Service) -> None:
    """In a purge nothing has locked the uploads before."""
    upload, _ = taught(service, "a", "b")
    first, second = service.versions()
    assert first.job_id
    assert second.job_id
    with ThreadPoolExecutor(1) as pool:
        with service.db.transaction() as session:
            upload_rows.lock_for_update(session, upload)
            upload_rows.remove(session, upload)

            def inherit() -> list[str]:
                with service.db.transaction() as other:
                    job_rows.inherit_uploads(other, first.job_id, second.job_id)
                    return job_rows.uploads_of(other, second.job_id)

            inherited = pool.submit(inherit)
            wait_for_a_lock(service.db)
        assert upload not in inherited.result()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_version_is_deleted_by_what_its_classifier_is_by_then(service: Service) -> None:
    """The classifier changes while the delete waits for its lock."""
    taught(service, "a", "b")
    aliases.move(service.db, WORKSPACE, "toy", "live", AliasMove(version=1))
    service.learn(service.upload("c", count=4))
    with ThreadPoolExecutor(1) as pool:
        with service.db.transaction() as session:
            row = classifiers.require(session, WORKSPACE, "toy", for_update=True)
            # The job will now start from the newest descendant of the live version.
            row.spec = {**row.spec, "promotion": {"policy": "manual", "max_accuracy_drop": None}}
            session.flush()
            deleted = pool.submit(versions.delete, service.db, WORKSPACE, "toy", "2")
            wait_for_a_lock(service.db)
        with pytest.raises(VersionInUseError, match="job"):
            deleted.result()


def test_keep_images_keeps_uploads(service: Service) -> None:
    (first,) = taught(service, "a", keep_images=True)
    ended_days_ago(service, 100)
    assert expire_uploads(service.db, 7) == []
    assert expire_uploads(service.db, 0) == []
    patch(service, keep_images=False)
    assert expire_uploads(service.db, 7) == [first]
