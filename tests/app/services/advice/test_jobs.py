"""A job that belongs to no classifier, on both databases: from the request to its end."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from app.db.engine import Database
from app.db.repositories import jobs as job_rows, uploads as upload_rows
from app.db.tables import Job, JobEvent
from app.services.access.limits import Quota, TooManyJobsError
from app.services.advice import creation
from app.services.advice.ending import Advised
from app.services.advice.planning import AdvicePlan
from app.services.advice.requests import AdviceRequest
from app.services.classifiers import choices, classifiers
from app.services.classifiers.spec import NewClassifier
from app.services.jobs import jobs
from app.services.jobs.advice_view import AdviceView
from app.services.jobs.jobs import JobNotRetryableError, NoReportError
from app.services.jobs.views import JobView
from app.services.queue.dispatcher import Dispatcher
from app.services.steps.creation import UnknownUploadError
from app.services.upkeep import retention
from app.services.upkeep.housekeeper import Housekeeper
from app.services.uploads import uploads
from app.services.uploads.uploads import UploadInUseError
from app.settings import Settings
from app.storage import open_store
from tests.app.services.steps.test_forgetting import run
from tests.worker.harness import NO_CACHE, ROOM, WORKSPACE, Service, nothing
from worker import child
from worker.attempt import Attempt
from worker.lease import Lease
from worker.protocol import Failure, Message, Report, Resources

ADVICE = AdviceView(
    classes=2,
    images=9,
    judged=8,
    look_alikes=1,
    rows=[],
    left_out=[],
    recommendation=None,
    warnings=["few"],
)


@pytest.fixture
def service(database: Database, settings: Settings) -> Service:
    return Service(database, settings)


def ask(service: Service, *upload_ids: str, quota: Quota | None = None, **fields: Any) -> str:
    request = AdviceRequest.model_validate({"uploads": list(upload_ids), **fields})
    more = {} if quota is None else {"quota": quota}
    return creation.create(service.db, WORKSPACE, request, on_created=nothing, **more).id


def claim(service: Service, job_id: str) -> Lease:
    lease = Lease.claim(service.db, service.settings, job_id, "wrk_1")
    assert lease is not None
    return lease


def claim_next(service: Service, hardware: str = "any") -> str | None:
    lease = Lease.claim_next(service.db, service.settings, hardware, "wrk_1")
    if lease is None:
        return None
    lease.cancelled()
    return lease.job_id


def test_a_job_is_asked_for_and_ends_with_a_report(service: Service) -> None:
    upload = service.upload("a", "b", count=5)
    job_id = ask(service, upload, upload)
    job = service.job(job_id)
    assert (job.classifier, job.kind, job.state, job.queue_position) == (
        None,
        "advise",
        "queued",
        1,
    )
    listed = jobs.page(service.db, WORKSPACE, limit=9, after=None)
    assert listed == [JobView.model_validate(job.model_dump(include=JobView.model_fields.keys()))]
    assert job.request["uploads"]
    assert not jobs.page(service.db, WORKSPACE, classifier="toy", limit=9, after=None)
    lease = claim(service, job_id)
    plan = lease.plan()
    assert isinstance(plan, AdvicePlan)
    assert (plan.labels, plan.seconds, plan.small, len(plan.images)) == (("a", "b"), 120, True, 10)
    with pytest.raises(NoReportError):
        jobs.report(service.db, WORKSPACE, job_id)
    assert lease.record(Advised(ADVICE))
    ended = service.job(job_id)
    assert (ended.state, ended.version) == ("succeeded", None)
    assert jobs.report(service.db, WORKSPACE, job_id) == ADVICE
    assert service.event_types(job_id)[-1] == "succeeded"


def test_an_attempt_that_lost_its_job_or_is_cancelled_reports_nothing(service: Service) -> None:
    upload = service.upload("a", "b", count=5)
    lost = claim(service, job_id := ask(service, upload))
    lost.hand_back()
    claim(service, job_id)
    assert not lost.record(Advised(ADVICE))
    assert service.job(job_id).state == "running"
    cancelled = claim(service, other := ask(service, upload))
    service.cancel(other)
    assert not cancelled.record(Advised(ADVICE))
    assert service.job(other).state == "cancelled"
    service.retry(other)
    assert service.job(other).state == "queued"


def test_jobs_of_no_classifier_take_turns_as_one_and_need_not_wait(service: Service) -> None:
    service.classifier(epochs=1)
    upload = service.upload("a", "b", count=5)
    asked = [ask(service, upload) for _ in range(3)]
    taught = [service.learn(service.upload(label, count=3)) for label in "cd"]
    on_gpu = ask(service, upload, hardware="gpu")
    positions = [service.job(job_id).queue_position for job_id in (*asked, *taught, on_gpu)]
    assert positions == [1, 3, 5, 2, 4, 1]
    assert [claim_next(service) for _ in range(5)] == [
        asked[0],
        taught[0],
        asked[1],
        taught[1],
        asked[2],
    ]
    assert claim_next(service) is None
    assert claim_next(service, "gpu") == on_gpu
    first, second = ask(service, upload), ask(service, upload)
    claim(service, first)
    claim(service, second)  # while the first one runs


def test_a_lost_worker_leaves_the_job_to_another(service: Service) -> None:
    job_id = ask(service, service.upload("a", "b", count=5))
    claim(service, job_id)
    with service.db.transaction() as session:
        ago = service.db.now(session) - timedelta(minutes=5)
        session.execute(update(Job).values(lease_expires_at=ago))
    dispatcher = Dispatcher(service.db, service.settings)
    dispatcher.tick()
    job = service.job(job_id)
    assert (job.state, job.attempt) == ("queued", 1)
    dispatcher.tick()
    assert list(service.settings.queue_dir.glob("*.msg"))  # a worker is told of it again


def test_a_request_that_cannot_be_done_is_refused(service: Service) -> None:
    upload = service.upload("a", "b", count=5)
    with pytest.raises(UnknownUploadError) as refused:
        ask(service, upload, "upl_0")
    assert refused.value.errors[0].pointer == "/uploads/1"
    quota = Quota(waiting_jobs=1)
    ask(service, upload, quota=quota)
    with pytest.raises(TooManyJobsError):
        ask(service, upload, quota=quota)


def test_its_uploads_stay_until_it_has_ended_and_are_not_gone_for_its_sake(
    service: Service,
) -> None:
    upload = service.upload("a", "b", count=5)
    job_id = ask(service, upload)
    with pytest.raises(UploadInUseError):
        uploads.delete(service.db, WORKSPACE, upload)
    with service.db.reading() as session:
        assert upload_rows.used_by_unfinished_job(session, upload, besides="cls_1")
    service.classifier(epochs=1)
    run(service, service.learn(upload))
    assert retention.expire_uploads(service.db, 0) == []  # advice has not ended
    claim(service, job_id).record(Advised(ADVICE))
    assert retention.expire_uploads(service.db, 0) == [upload]
    only_asked = service.upload("c", "d", count=5)
    claim(service, ask(service, only_asked)).record(Advised(ADVICE))
    assert retention.expire_uploads(service.db, 0) == []  # it is yet to be learnt
    with service.db.transaction() as session:
        ago = service.db.now(session) - timedelta(days=8)
        session.execute(update(Job).values(finished_at=ago))
    assert retention.expire_uploads(service.db, 7) == [only_asked]


def test_images_are_kept_for_their_classifier_whatever_advice_was_asked_for(
    service: Service,
) -> None:
    service.classifier(epochs=1, keep_images=True)
    upload = service.upload("a", "b", count=5)
    run(service, service.learn(upload))
    claim(service, ask(service, upload)).record(Advised(ADVICE))
    assert retention.expire_uploads(service.db, 0) == []


def test_a_job_whose_upload_was_deleted_cannot_be_retried(service: Service) -> None:
    job_id = ask(service, upload := service.upload("a", "b", count=5))
    service.cancel(job_id)
    uploads.delete(service.db, WORKSPACE, upload)
    with pytest.raises(JobNotRetryableError):
        service.retry(job_id)


def test_old_advice_is_deleted_once_its_uploads_are_gone(service: Service) -> None:
    gone, kept = service.upload("a", "b", count=5), service.upload("c", "d", count=5)
    jobs_ = [ask(service, upload) for upload in (gone, kept)]
    for job_id in jobs_:
        claim(service, job_id).record(Advised(ADVICE))
    uploads.delete(service.db, WORKSPACE, gone)
    with service.db.transaction() as session:
        now = service.db.now(session)
        assert not job_rows.remove_ended_without_classifier(session, before=now - timedelta(days=1))
        session.execute(update(Job).values(finished_at=now - timedelta(days=31)))
    housekeeper = Housekeeper(
        service.db, open_store(service.settings.storage_url), service.settings
    )
    housekeeper.tick()
    with service.db.reading() as session:
        assert list(session.scalars(select(Job.id))) == [jobs_[1]]
        assert set(session.scalars(select(JobEvent.job_id))) == {jobs_[1]}


def test_deleting_a_classifier_leaves_advice(service: Service) -> None:
    service.classifier()
    job_id = ask(service, service.upload("a", "b", count=5))
    classifiers.delete(service.db, WORKSPACE, "toy")
    assert service.job(job_id).state == "queued"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_training_process_measures_and_says_so(service: Service, tmp_path: Path) -> None:
    lease = claim(service, ask(service, service.upload("a", "b", count=6)))
    plan = lease.plan()
    assert isinstance(plan, AdvicePlan)
    said: list[Message] = []
    resources = Resources(service.settings.storage_url, "cpu", 1, tmp_path, 60.0, NO_CACHE, ROOM)
    # Without time, only the first row is measured.
    end = child.run(Attempt(replace(plan, seconds=0.0), resources, said.append))
    assert isinstance(end, Advised)
    (row,) = end.advice.rows
    assert (row.method, row.backbone, row.image_size) == ("analytic", "efficientnet_lite0", 96)
    assert (row.forgets, row.residual, row.measured_on) == ("exactly", [], end.advice.judged)
    assert end.advice.recommendation is not None
    body = end.advice.recommendation.classifier
    assert body == {
        "name": "my-classifier",
        "method": "analytic",
        "backbone": "efficientnet_lite0",
        "weights": "DEFAULT",
        "image_size": 96,
    }
    classifiers.check_spec(choices.completed(NewClassifier.model_validate(body)))
    reports = [message for message in said if isinstance(message, Report)]
    fractions = [report.progress["fraction"] for report in reports]
    assert fractions == sorted(fractions)
    events = [event for report in reports for event in report.events]
    assert [event.type for event in events].count("measured") == len(end.advice.left_out) + 1
    missing = replace(plan, images=(plan.images[0]._replace(sha256="0" * 64), *plan.images[1:]))
    lost = child.run(Attempt(missing, resources, said.append))
    assert isinstance(lost, Failure)
    assert lost.code == "data-missing"
