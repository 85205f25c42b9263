"""Jobs as they are created, before a worker claims them."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import ids
from app.db.engine import Database
from app.db.repositories import classifiers as classifier_rows
from app.db.tables import Job, Upload
from app.services.classifiers import classifiers, lineage
from app.services.jobs import jobs
from app.services.steps import creation, learning
from app.services.steps.requests import LearnFields, LearnRequest
from app.services.uploads import collecting, uploads
from app.services.uploads.sources import UploadLimits
from app.settings import Settings
from app.storage import open_store
from tests.databases import ONE_KIND_AT_FIRST, wait_for_a_lock
from tests.worker.harness import WORKSPACE, Pictures, Service, nothing


@pytest.fixture
def service(database: Database, settings: Settings) -> Service:
    return Service(database, settings)


def count(service: Service, table: type[Any]) -> int:
    with service.db.reading() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_a_new_job_waits_in_its_place(service: Service) -> None:
    service.classifier()
    first, second = (service.learn(service.upload(label, count=2)) for label in "ab")
    job = service.job(second)
    assert (job.state, job.phase, job.attempt, job.version) == ("queued", None, 0, None)
    assert job.progress is None
    assert [service.job(job_id).queue_position for job_id in (first, second)] == [1, 2]
    assert service.event_types(second) == ["created"]
    service.cancel(first)
    assert service.job(first).queue_position is None
    assert service.job(second).queue_position == 1


def test_jobs_wait_in_the_order_they_came_whatever_clocks_say(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second API process may answer, on a machine whose clock is an hour behind."""
    service.classifier()
    upload = service.upload("a", count=2)
    first = service.learn(upload)
    behind = time.time_ns() - 3_600_000_000_000
    monkeypatch.setattr(ids, "_last", 0)
    monkeypatch.setattr(ids.time, "time_ns", lambda: behind)
    later = [service.learn(upload), service.learn(upload)]
    assert [service.job(job_id).queue_position for job_id in (first, *later)] == [1, 2, 3]
    # Other ids get the time of this process.
    assert service.upload("b", count=2) < upload


@pytest.mark.parametrize(
    ("fields", "error", "pointer"),
    [
        ({"uploads": ["upl_none"]}, creation.UnknownUploadError, "/uploads/0"),
        ({"options": {"speed": 1}}, classifiers.InvalidOptionsError, "/options/speed"),
        ({"options": {"epochs": 0}}, classifiers.InvalidOptionsError, "/options/epochs"),
        ({"base_version": 7}, lineage.UnknownBaseVersionError, "/base_version"),
    ],
)
@ONE_KIND_AT_FIRST
def test_what_cannot_be_done_is_refused_with_a_pointer(
    service: Service, fields: dict[str, Any], error: type[Exception], pointer: str
) -> None:
    service.classifier()
    upload = service.upload("a", count=2)
    with pytest.raises(error) as raised:
        service.learn(upload, **fields)
    assert [wrong.pointer for wrong in raised.value.errors] == [pointer]  # type: ignore[attr-defined]
    assert count(service, Job) == 0


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer
def test_a_classifier_that_goes_meanwhile_is_not_found(service: Service) -> None:
    service.classifier()
    upload = service.upload("a", count=2)
    with ThreadPoolExecutor(1) as pool:
        with service.db.transaction() as session:
            row = classifiers.require(session, WORKSPACE, "toy", for_update=True)
            classifier_rows.remove(session, row)
            queued = pool.submit(service.learn, upload)
            wait_for_a_lock(service.db)
        with pytest.raises(classifiers.ClassifierNotFoundError):
            queued.result()
    assert count(service, Job) == 0


@ONE_KIND_AT_FIRST
def test_test_images_alone_teach_nothing(service: Service) -> None:
    service.classifier()
    train, test = service.upload("a", count=2), service.upload("b", count=2, split="test")
    with pytest.raises(learning.NoTrainingImagesError, match="'b'"):
        service.learn(train, uploads=[train, test])


@ONE_KIND_AT_FIRST
def test_uploads_of_others_are_unknown(service: Service) -> None:
    service.classifier()
    theirs = uploads.create(
        service.db,
        open_store(service.settings.storage_url),
        "others",
        Pictures(["a"], 2),
        limits=UploadLimits.of(service.settings),
    )
    with pytest.raises(creation.UnknownUploadError):
        service.learn(theirs.id)


def test_a_refused_job_leaves_no_upload_behind(service: Service) -> None:
    service.classifier()
    store = open_store(service.settings.storage_url)
    limits = UploadLimits.of(service.settings)
    collected = collecting.collect(store, Pictures(["a"], 2), limits=limits)

    def learn(base_version: int | None) -> creation.LearnView:
        return creation.create_with_upload(
            service.db,
            WORKSPACE,
            "toy",
            collected,
            LearnFields(base_version=base_version),
            on_created=nothing,
        )

    with pytest.raises(lineage.UnknownBaseVersionError):
        learn(3)
    assert (count(service, Upload), count(service, Job)) == (0, 0)
    job = learn(None)
    assert uploads.get(service.db, WORKSPACE, job.uploads[0]).accepted == 2


def test_what_follows_creation_fails_with_it(service: Service) -> None:
    service.classifier()
    upload = service.upload("a", count=2)

    def refuse(_session: Session, _view: Any) -> None:
        raise RuntimeError

    request = LearnRequest(uploads=[upload])
    with pytest.raises(RuntimeError):
        creation.create(service.db, WORKSPACE, "toy", request, on_created=refuse)
    assert count(service, Job) == 0


def test_a_cancelled_job_can_be_tried_again(service: Service) -> None:
    service.classifier()
    upload = service.upload("a", count=2)
    job_id = service.learn(upload)
    with pytest.raises(jobs.JobNotRetryableError):
        jobs.retry(service.db, WORKSPACE, job_id, on_created=nothing)
    assert service.cancel(job_id).state == "cancelled"
    assert service.cancel(job_id).state == "cancelled"
    job = jobs.retry(service.db, WORKSPACE, job_id, on_created=nothing)
    assert (job.state, job.finished_at) == ("queued", None)
    assert service.event_types(job_id) == ["created", "cancelled", "requeued"]
    service.cancel(job_id)
    uploads.delete(service.db, WORKSPACE, upload)
    with pytest.raises(jobs.JobNotRetryableError, match="deleted"):
        jobs.retry(service.db, WORKSPACE, job_id, on_created=nothing)
    assert service.job(job_id).state == "cancelled"


def test_a_page_of_jobs_is_chosen_and_ordered(service: Service) -> None:
    upload = service.upload("a", count=2)
    made = [service.learn(upload, service.classifier(name)) for name in ("one", "two", "three")]
    service.cancel(made[1])

    def page(**chosen: Any) -> list[str]:
        given = {"limit": 10, "after": None} | chosen
        return [job.id for job in jobs.page(service.db, WORKSPACE, **given)]

    assert page() == made[::-1]
    assert page(after=made[2], limit=1) == [made[1]]
    assert page(classifier="one") == [made[0]]
    assert page(states=["cancelled"]) == [made[1]]
    assert page(states=["cancelled", "queued"]) == made[::-1]
    assert page(states=["cancelled", "queued"], limit=2) == [made[2], made[1]]
    assert page(kinds=["learn"], after=made[2]) == [made[1], made[0]]
    assert page(kinds=["learn", "forget"], states=["queued"], classifier="three") == [made[2]]
    assert page(kinds=["forget"]) == []
    times = [service.job(job_id).created_at for job_id in made]
    assert page(since=times[1]) == [made[2], made[1]]
    assert page(since=times[2] + timedelta(microseconds=1)) == []
    assert jobs.page(service.db, "others", limit=9, after=None) == []
