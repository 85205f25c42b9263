"""Between the attempts of a job there are pauses, and an outage does not use its failures up."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

import migrations
from app.db.engine import UNAVAILABLE, Database
from app.db.repositories.events import Event
from app.db.tables import Job
from app.services.queue.broker import DEFAULT_QUEUE
from app.services.queue.dispatcher import Dispatcher
from app.settings import Settings
from tests.databases import ONE_KIND_AT_FIRST
from tests.servers import OwnPostgres
from tests.worker.harness import NO_CACHE, ROOM, Service
from worker import retrying
from worker.lease import Lease
from worker.protocol import Failure, Report, Resources
from worker.runner import Runner, _Follower

AWAY = Failure("storage-failed", "OSError: the storage is away.", again=True, retryable=True)
CRASH = Failure("training-failed", "ValueError: a shape.", again=True, retryable=True)
LOST = Failure("worker-lost", "It was killed.", again=True, retryable=True)


class Flaky(Database):
    """A database that commits and whose answer is lost on the way, once `losing` is set."""

    losing = False

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        with super().transaction() as session:
            yield session
        if self.losing:
            self.losing = False
            raise OperationalError("COMMIT", None, Exception("the connection is lost"))


@pytest.fixture
def flaky(database_url: str) -> Iterator[Flaky]:
    database = Flaky(database_url)
    yield database
    database.close()


def claim(service: Service, job_id: str) -> Lease | None:
    return Lease.claim(service.db, service.settings, job_id, "wrk_1")


def fail(service: Service, job_id: str, failure: Failure) -> None:
    lease = claim(service, job_id)
    assert lease is not None
    lease.fail(failure)


def let_pauses_pass(service: Service) -> None:
    with service.db.transaction() as session:
        past = datetime.now(UTC) - timedelta(seconds=1)
        session.execute(update(Job).where(Job.not_before.is_not(None)).values(not_before=past))


def test_pauses_double_up_to_a_minute_and_half_of_each_is_random() -> None:
    for tried, longest in ((0, 2), (1, 4), (2, 8), (4, 32), (5, 60), (10_000, 60)):
        pauses = {retrying.pause(AWAY, tried).total_seconds() for _ in range(100)}
        assert longest / 2 <= min(pauses)
        assert max(pauses) <= longest
        assert max(pauses) - min(pauses) > longest / 4  # of 100 draws
    assert retrying.pause(LOST, 5) == timedelta()


def test_a_job_waits_after_an_outage_and_says_why(service: Service) -> None:
    job_id = service.learn(service.upload("a", count=2), service.classifier())
    before = datetime.now(UTC)
    fail(service, job_id, AWAY)
    job = service.job(job_id)
    assert (job.state, job.error) == ("queued", None)
    assert job.not_before is not None
    assert timedelta(seconds=0.5) < job.not_before - before < timedelta(seconds=10)
    assert job.last_failure is not None
    assert (job.last_failure.code, job.last_failure.detail) == (AWAY.code, AWAY.detail)
    assert claim(service, job_id) is None
    assert Lease.claim_next(service.db, service.settings, "any", "wrk_1") is None
    let_pauses_pass(service)
    lease = Lease.claim_next(service.db, service.settings, "any", "wrk_1")
    assert lease is not None
    assert lease.job_id == job_id
    assert service.job(job_id).not_before is None


def test_the_next_jobs_of_its_classifier_wait_with_it_and_others_do_not(service: Service) -> None:
    first = service.learn(service.upload("a", count=2), service.classifier())
    second = service.learn(service.upload("b", count=2), "toy")
    other = service.learn(service.upload("c", count=2), service.classifier("other"))
    fail(service, first, AWAY)
    assert claim(service, second) is None
    assert claim(service, other) is not None
    assert service.cancel(first).state == "cancelled"
    assert service.job(first).not_before is None
    assert claim(service, second) is not None


def test_a_dispatcher_sends_it_once_its_pause_is_over(service: Service) -> None:
    job_id = service.learn(service.upload("a", count=2), service.classifier())
    fail(service, job_id, AWAY)
    dispatcher = Dispatcher(service.db, service.settings)

    def sent() -> bool:
        dispatcher.tick()
        with service.db.reading() as session:
            return session.scalar(select(Job.sent_at)) is not None

    assert not sent()
    let_pauses_pass(service)
    assert sent()


@ONE_KIND_AT_FIRST
def test_outages_do_not_count_as_failures_within_a_bound(service: Service) -> None:
    job_id = service.learn(service.upload("a", count=2), service.classifier())
    # One more failure would end the job.
    for _ in range(service.settings.max_failures - 1):
        fail(service, job_id, CRASH)
        let_pauses_pass(service)
    for _ in range(60):
        fail(service, job_id, AWAY)
        assert service.job(job_id).state == "queued"
        let_pauses_pass(service)
    fail(service, job_id, AWAY)
    job = service.job(job_id)
    assert job.state == "failed"
    assert job.error is not None
    assert (job.error.code, job.error.retryable) == ("storage-failed", True)
    service.retry(job_id)
    fail(service, job_id, AWAY)  # a retry counts from the beginning
    assert service.job(job_id).state == "queued"


def test_an_event_is_written_once_though_the_answer_to_its_commit_is_lost(
    service: Service, flaky: Flaky
) -> None:
    job_id = service.learn(service.upload("a", count=2), service.classifier())
    lease = Lease.claim(flaky, service.settings, job_id, "wrk_1")
    follower = _Follower(lease, None, service.settings, threading.Event())  # type: ignore[arg-type]
    epoch = Event("epoch", "Epoch 1 of 2: loss 0.5000.")
    follower._add_report(Report("training", {"fraction": 0.5}, (epoch,)))
    flaky.losing = True
    follower._heartbeat()
    follower._add_report(Report("training", {"fraction": 0.9}, (epoch,)))  # another one, as equal
    follower._heartbeat()
    assert service.event_types(job_id) == ["created", "started", "phase", "epoch", "epoch"]


def test_a_claim_without_an_answer_costs_neither_a_lease_nor_a_failure(
    service: Service, flaky: Flaky
) -> None:
    job_id = service.learn(service.upload("a", count=2), service.classifier())
    resources = Resources("", "cpu", 1, None, 60.0, NO_CACHE, ROOM)
    runner = Runner(flaky, service.settings, "wrk_1", [DEFAULT_QUEUE], resources, lambda: None)
    flaky.losing = True
    runner.run(job_id)
    assert service.job(job_id).state == "running"  # nobody runs it
    lease = runner._claim(job_id)
    assert lease is not None
    assert lease.attempt == 2
    with service.db.reading() as session:
        assert session.scalar(select(Job.failures)) == 0


@pytest.mark.slow
def test_leases_that_ran_out_while_the_database_was_away_may_be_extended(
    own_postgres: OwnPostgres, tmp_path: Path
) -> None:
    migrations.upgrade(own_postgres.url)
    database = Database(own_postgres.url)
    settings = Settings(data_dir=tmp_path / "data", database=own_postgres.url, lease_seconds=9)
    service = Service(database, settings)
    job_id = service.learn(service.upload("a", count=2), service.classifier())
    lease = claim(service, job_id)
    assert lease is not None
    dispatcher = Dispatcher(database, settings)
    dispatcher.start()
    try:
        time.sleep(1)
        own_postgres.stop()
        time.sleep(settings.lease_seconds + 1)
        own_postgres.start()
        time.sleep(settings.lease_seconds / 6)  # a worker's next heartbeat
        deadline = time.monotonic() + 30
        while True:
            try:
                assert lease.heartbeat({}, [], extend=True) == "running"
                break
            except UNAVAILABLE:
                assert time.monotonic() < deadline
        assert service.job(job_id).attempt == 1
    finally:
        dispatcher.stop()
        database.close()
