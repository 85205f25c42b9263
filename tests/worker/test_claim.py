"""Claims, leases and the fence, between real processes and on both databases."""

import multiprocessing
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select, update

from app.db.repositories import jobs as job_rows, leases as lease_rows, turns as turn_rows
from app.db.repositories.events import Event
from app.db.tables import Job, Version, Worker
from app.services.jobs.views import JobView
from app.services.queue.dispatcher import Dispatcher
from app.services.steps import learning, publication
from app.services.steps.plans import LearnPlan
from app.services.steps.publication import Outcome
from app.services.steps.starting import JobUnreadableError
from app.storage import open_store
from tests.databases import ONE_KIND_AT_FIRST
from tests.worker.harness import NO_CACHE, ROOM, Service, metrics_of
from tests.worker.racer import race
from worker import lease as lease_module
from worker.lease import Lease
from worker.polling import PollingFallback
from worker.protocol import Failure, Resources
from worker.runner import Runner

LOST = Failure("worker-lost", "It was lost.", again=True, retryable=True)


def claim(service: Service, job_id: str, worker: str = "wrk_1") -> Lease | None:
    return Lease.claim(service.db, service.settings, job_id, worker)


def must_claim(service: Service, job_id: str, worker: str = "wrk_1") -> Lease:
    lease = claim(service, job_id, worker)
    assert lease is not None
    return lease


def let_leases_run_out(service: Service) -> None:
    with service.db.transaction() as session:
        past = service.db.now(session) - timedelta(seconds=1)
        session.execute(
            update(Job).where(Job.lease_expires_at.is_not(None)).values(lease_expires_at=past)
        )


def outcome(plan: LearnPlan) -> Outcome:
    return Outcome(
        spec=plan.spec,
        parts={},
        rankings={},
        kept=(0,) * len(plan.classes),
        metrics=metrics_of(plan, None),
        warnings=[],
    )


@pytest.mark.parametrize("stored", [{"on_existing": "skip"}, {"kind": "dream"}])
def test_a_job_that_cannot_be_read_fails_and_lets_others_pass(
    service: Service, stored: dict[str, Any]
) -> None:
    """As a newer release may have written it."""
    upload = service.upload("a", "b", count=2)
    unread = service.learn(upload, service.classifier("toy1"))
    other = service.learn(upload, service.classifier("toy2"))
    with service.db.transaction() as session:
        job = session.get_one(Job, unread)
        job.kind = stored.get("kind", job.kind)
        job.request = {**job.request, **stored}
    lease = Lease.claim_next(service.db, service.settings, "any", "wrk_1")
    assert lease is not None
    assert lease.job_id == unread
    with pytest.raises(JobUnreadableError, match="newer release"):
        lease.plan()
    assert must_claim(service, other, "wrk_2").plan()


def test_what_another_release_added_to_a_version_is_left_out(service: Service) -> None:
    service.classifier()
    lease = must_claim(service, service.learn(service.upload("a", count=2)))
    plan = lease.plan()
    assert isinstance(plan, LearnPlan)
    assert lease.publish(plan, outcome(plan)) == 1
    with service.db.transaction() as session:
        version = session.scalars(select(Version)).one()
        version.spec = {**version.spec, "from_the_future": 1}
    lease = must_claim(service, service.learn(service.upload("b", count=2)))
    assert lease.plan().base_version_id == version.id


def test_each_job_is_claimed_by_one_of_two_racing_processes(service: Service) -> None:
    upload = service.upload("a", "b", count=2)
    job_ids = [service.learn(upload, service.classifier(f"toy{n}")) for n in range(20)]
    context = multiprocessing.get_context("spawn")
    start, won = context.Barrier(2), context.Queue()
    racers = [
        context.Process(target=race, args=(service.settings, f"wrk_{n}", job_ids, start, won))
        for n in range(2)
    ]
    for racer in racers:
        racer.start()
    claimed = won.get(timeout=60) + won.get(timeout=60)
    for racer in racers:
        racer.join()
    assert sorted(claimed) == sorted(job_ids)
    assert {service.job(job_id).attempt for job_id in job_ids} == {1}


def test_a_classifier_is_held_by_one_job_and_the_oldest_goes_first(service: Service) -> None:
    service.classifier()
    first, second = (service.learn(service.upload(label, count=2)) for label in "ab")
    assert claim(service, second) is None
    lease = must_claim(service, first)
    assert claim(service, first) is None
    assert claim(service, second) is None
    lease.cancelled()
    assert claim(service, second) is not None


def test_losing_a_classifier_in_the_moment_of_the_claim_is_no_error(service: Service) -> None:
    """The older job is taken where the younger one's claim cannot see it: the index decides."""
    service.classifier()
    older, younger = (service.learn(service.upload(label, count=2)) for label in "ab")
    service.cancel(older)
    with ThreadPoolExecutor(1) as pool:
        with service.db.transaction() as session:
            job_rows.restart(session, older)
            attempt = lease_rows.claim(
                session,
                older,
                worker="wrk_1",
                now=service.db.now(session),
                lease=timedelta(minutes=1),
            )
            late = pool.submit(claim, service, younger, "wrk_2")
            time.sleep(0.2)  # until it waits for this transaction
        assert attempt == 1
        assert late.result() is None
    assert service.job(older).state == "running"
    assert service.job(younger).state == "queued"


def test_a_stale_attempt_publishes_nothing(service: Service) -> None:
    service.classifier()
    job_id = service.learn(service.upload("a", "b", count=4))
    stale = must_claim(service, job_id)
    plan = stale.plan()
    let_leases_run_out(service)
    Dispatcher(service.db, service.settings).tick()
    fresh = must_claim(service, job_id, "wrk_2")
    assert stale.heartbeat({"phase": "training"}, [], extend=True) is None
    assert stale.publish(plan, outcome(plan)) is None
    stale.fail(LOST)
    assert service.job(job_id).state == "running"
    assert not service.versions()
    assert fresh.publish(fresh.plan(), outcome(plan)) == 1
    store = open_store(service.settings.storage_url)
    assert publication.publish(service.db, store, plan, fresh.attempt, outcome(plan)) is None
    assert [version.number for version in service.versions()] == [1]
    assert service.job(job_id).version == 1
    assert service.event_types(job_id) == [
        "created",
        "started",
        "requeued",
        "started",
        "published",
        "succeeded",
    ]


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_storage_that_is_away_is_told_while_the_job_is_held(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.classifier()
    job_id = service.learn(service.upload("a", "b", count=4))
    (tmp_path / "file").touch()
    away = service.settings.model_copy(update={"storage": str(tmp_path / "file" / "blobs")})
    clock = Clock()
    monkeypatch.setattr(lease_module, "time", clock)
    lease = Lease.claim(service.db, away, job_id, "wrk_1")
    assert lease is not None
    plan = lease.plan()
    clock.sleep(away.lease_seconds / 6)
    lease.heartbeat({}, [], extend=True)
    clock.sleep(away.lease_seconds / 6)
    with pytest.raises(NotADirectoryError):
        lease.publish(plan, outcome(plan))
    # The lease was extended at a sixth of its length.
    assert away.lease_seconds * 5 / 6 <= clock.now < away.lease_seconds * 6 / 6
    lease.fail(Failure("storage-failed", "It is away.", again=True, retryable=True))
    assert service.job(job_id).state == "queued"


def test_a_job_whose_cancel_was_accepted_publishes_nothing(service: Service) -> None:
    service.classifier()
    job_id = service.learn(service.upload("a", "b", count=4))
    lease = must_claim(service, job_id)
    plan = lease.plan()
    assert service.cancel(job_id).state == "cancelling"
    assert lease.publish(plan, outcome(plan)) is None
    assert service.job(job_id).state == "cancelled"
    assert not service.versions()
    assert service.event_types(job_id)[-1] == "cancelled"


def test_a_warning_is_given_once_whatever_the_attempts(service: Service) -> None:
    service.classifier()
    job_id = service.learn(service.upload("a", count=2))
    warnings = [Event("warning", text, "warning") for text in ("One.", "Two.")]
    for given in (warnings[:1], [*warnings, warnings[1]]):
        lease = must_claim(service, job_id)
        lease.heartbeat({}, given, extend=True)
        lease.hand_back()
    assert service.event_types(job_id).count("warning") == 2


def test_expired_leases_are_freed_until_the_failures_are_used_up(service: Service) -> None:
    service.classifier()
    job_id = service.learn(service.upload("a", count=2))
    dispatcher = Dispatcher(service.db, service.settings)
    for attempt in (1, 2):
        must_claim(service, job_id)
        dispatcher.tick()
        assert service.job(job_id).state == "running"
        let_leases_run_out(service)
        dispatcher.tick()
        assert service.job(job_id).state == "queued"
        assert service.job(job_id).attempt == attempt
    must_claim(service, job_id)
    let_leases_run_out(service)
    assert claim(service, job_id) is None
    dispatcher.tick()
    job = service.job(job_id)
    assert job.state == "failed"
    assert job.error is not None
    assert job.error.code == "worker-lost"


def test_a_cancelled_job_whose_worker_is_lost_is_cancelled(service: Service) -> None:
    service.classifier()
    job_id = service.learn(service.upload("a", count=2))
    must_claim(service, job_id)
    assert service.cancel(job_id).state == "cancelling"
    assert service.cancel(job_id).state == "cancelling"
    let_leases_run_out(service)
    Dispatcher(service.db, service.settings).tick()
    assert service.job(job_id).state == "cancelled"
    assert service.cancel(job_id).state == "cancelled"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_cancel_holds_that_is_accepted_while_the_lost_are_freed(service: Service) -> None:
    """SQLite has one writer at a time; on PostgreSQL a cancel may come between two statements."""
    service.classifier()
    job_id = service.learn(service.upload("a", count=2))
    for _ in range(service.settings.max_failures - 1):
        must_claim(service, job_id).fail(LOST)
    must_claim(service, job_id)
    let_leases_run_out(service)
    dispatcher = Dispatcher(service.db, service.settings)
    answers: list[Future[JobView]] = []
    with ThreadPoolExecutor(1) as pool:

        def cancel(*said: Any) -> None:
            parameters = said[3]
            if not answers and "failed" in parameters.values():
                answers.append(pool.submit(service.cancel, job_id))
                answers[0].result()

        event.listen(service.db.engine, "before_cursor_execute", cancel)
        dispatcher.tick()
    assert answers[0].result().state == "cancelling"
    dispatcher.tick()
    job = service.job(job_id)
    assert (job.state, job.error) == ("cancelled", None)


def test_failures_are_bounded_and_stops_are_not_counted(service: Service) -> None:
    service.classifier()
    job_id = service.learn(service.upload("a", count=2))
    for _ in range(4):
        must_claim(service, job_id).hand_back()
    for _ in range(service.settings.max_failures - 1):
        must_claim(service, job_id).fail(LOST)
        assert service.job(job_id).state == "queued"
    must_claim(service, job_id).fail(LOST)
    assert service.job(job_id).state == "failed"


@pytest.mark.parametrize("again", [True, False])
def test_an_accepted_cancel_holds_though_the_attempt_fails(service: Service, again: bool) -> None:
    job_id = service.learn(service.upload("a", count=2), service.classifier())
    lease = must_claim(service, job_id)
    assert service.cancel(job_id).state == "cancelling"
    lease.fail(Failure("timed-out", "Too late.", again=again, retryable=True))
    job = service.job(job_id)
    assert (job.state, job.error) == ("cancelled", None)
    assert service.event_types(job_id)[-2:] == ["cancelling", "cancelled"]


def test_labels_are_checked_again_when_the_job_starts(service: Service) -> None:
    service.classifier()
    first, second = (service.learn(service.upload("a", count=count)) for count in (4, 6))
    lease = must_claim(service, first)
    plan = lease.plan()
    lease.publish(plan, outcome(plan))
    with pytest.raises(learning.ClassAlreadyLearntError):
        must_claim(service, second).plan()


def test_only_jobs_that_can_start_are_sent_and_lost_messages_again(service: Service) -> None:
    service.classifier()
    first, second = (service.learn(service.upload(label, count=2)) for label in "ab")
    dispatcher = Dispatcher(service.db, service.settings)
    sent = service.settings.queue_dir
    dispatcher.tick()
    dispatcher.tick()
    assert len(list(sent.glob("*.default.msg"))) == 1
    must_claim(service, first).cancelled()
    dispatcher.tick()
    assert len(list(sent.glob("*.default.msg"))) == 2
    with service.db.transaction() as session:
        turn_rows.clear_sent(session)
    dispatcher.tick()
    assert len(list(sent.glob("*.default.msg"))) == 3
    assert service.job(second).queue_position == 1


def test_what_waits_is_sent_again_to_idle_workers_only(service: Service) -> None:
    service.classifier()
    service.classifier("other")
    running = service.learn(service.upload("a", count=2), "other")
    waiting = service.learn(service.upload("a", count=2))
    dispatcher = Dispatcher(service.db, service.settings)
    dispatcher.tick()

    def sent_after_a_minute() -> int:
        before = len(list(service.settings.queue_dir.glob("*.default.msg")))
        with service.db.transaction() as session:
            past = service.db.now(session) - timedelta(minutes=1)
            session.execute(update(Job).where(Job.id == waiting).values(sent_at=past))
        dispatcher.tick()
        return len(list(service.settings.queue_dir.glob("*.default.msg"))) - before

    assert sent_after_a_minute() == 0
    with service.db.transaction() as session:
        now = service.db.now(session)
        for name, queues in (("wrk_1", ["default"]), ("wrk_2", ["train"])):
            row = {"device": "cpu", "started_at": now, "seen_at": now}
            session.add(Worker(id=name, host="here", pid=1, queues=queues, **row))
    lease = must_claim(service, running, "wrk_1")
    assert sent_after_a_minute() == 0
    lease.cancelled()
    assert sent_after_a_minute() == 1


@pytest.mark.parametrize(
    ("lease", "seconds", "again"),
    [(60, 29, 0), (60, 31, 1), (2, 1.5, 1), (3600, 31, 1)],
)
@ONE_KIND_AT_FIRST
def test_messages_are_sent_again_after_half_a_lease_at_most(
    service: Service, lease: float, seconds: float, again: int
) -> None:
    service.classifier()
    job_id = service.learn(service.upload("a", count=2))
    with service.db.transaction() as session:
        now = service.db.now(session)
        row = {"device": "cpu", "started_at": now, "seen_at": now}
        session.add(Worker(id="wrk_1", host="here", pid=1, queues=["default"], **row))
        past = now - timedelta(seconds=seconds)
        session.execute(update(Job).where(Job.id == job_id).values(sent_at=past))
    settings = service.settings.model_copy(update={"lease_seconds": lease})
    Dispatcher(service.db, settings).tick()
    assert len(list(service.settings.queue_dir.glob("*.default.msg"))) == again


@ONE_KIND_AT_FIRST
def test_the_dispatcher_survives_whatever_is_raised(service: Service) -> None:
    again = threading.Event()

    class Stumbling(Dispatcher):
        ticks = 0

        def tick(self) -> None:
            self.ticks += 1
            if self.ticks > 1:
                again.set()
            raise RuntimeError("unheard of")

    dispatcher = Stumbling(service.db, service.settings)
    assert not dispatcher.alive
    dispatcher.start()
    assert again.wait(30)
    assert dispatcher.alive
    dispatcher.stop()
    assert not dispatcher.alive


def test_polling_survives_whatever_is_raised(service: Service) -> None:
    again, stop = threading.Event(), threading.Event()

    class Stumbling(PollingFallback):
        polls = 0

        def _poll(self) -> None:
            self.polls += 1
            if self.polls > 1:
                again.set()
            raise RuntimeError("unheard of")

    resources = Resources(service.settings.storage_url, "cpu", 1, None, 60.0, NO_CACHE, ROOM)
    runner = Runner(
        service.db, service.settings, "wrk_1", ["default"], resources, on_end=lambda: None
    )
    thread = threading.Thread(target=Stumbling(service.db, runner, ["default"]).run, args=(stop,))
    thread.start()
    try:
        assert again.wait(30)
    finally:
        stop.set()
        thread.join()
