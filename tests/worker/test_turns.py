"""Classifiers take turns: whose job starts next, with one worker and with several."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, text, update
from structlog.testing import capture_logs

from app.db.engine import Database
from app.db.repositories.turns import is_next
from app.db.tables import Job
from app.services.classifiers import classifiers
from app.services.classifiers.classifiers import ClassifierPatch
from app.services.jobs import events
from app.services.queue import broker
from app.services.queue.broker import DEFAULT_QUEUE
from app.services.queue.dispatcher import Dispatcher
from tests.worker.harness import (
    FOREVER,
    NO_CACHE,
    ROOM,
    WORKSPACE,
    Place,
    Service,
    served,
    stop,
    train_forever,
)
from worker.health import Health
from worker.lease import Lease
from worker.protocol import Resources
from worker.runner import Runner

LABELS = "abcdefgh"


def queue(service: Service, name: str, count: int, **fields: object) -> list[str]:
    """Make a classifier and queue so many jobs."""
    service.classifier(name, epochs=1, **fields)
    return [service.learn(service.upload(label, count=3), name) for label in LABELS[:count]]


def claim(service: Service, hardware: str = "any") -> Lease | None:
    return Lease.claim_next(service.db, service.settings, hardware, "wrk_1")


def must_claim(service: Service) -> Lease:
    lease = claim(service)
    assert lease is not None
    return lease


def positions(service: Service, job_ids: list[str]) -> list[int | None]:
    return [service.job(job_id).queue_position for job_id in job_ids]


def test_the_classifier_served_longest_ago_goes_first(service: Service) -> None:
    many, few = queue(service, "many", 4), queue(service, "few", 2)
    assert positions(service, many) == [1, 3, 5, 6]
    assert positions(service, few) == [2, 4]
    order = []
    for _ in range(6):
        lease = must_claim(service)
        order.append(lease.job_id)
        lease.cancelled()
    assert order == [many[0], few[0], many[1], few[1], *many[2:]]
    assert claim(service) is None


def test_positions_are_the_order_in_which_jobs_then_start(service: Service) -> None:
    waiting = queue(service, "one", 3) + queue(service, "two", 2)
    must_claim(service).cancelled()
    waiting += queue(service, "new", 2)  # never served, so it is next
    running = must_claim(service)
    assert service.job(running.job_id).classifier == "two"
    told = {job_id: service.job(job_id).queue_position for job_id in waiting}
    expected = sorted((position, job_id) for job_id, position in told.items() if position)
    running.cancelled()
    started = []
    while (lease := claim(service)) is not None:
        started.append(lease.job_id)
        lease.cancelled()
    assert started == [job_id for _, job_id in expected]
    assert [position for position, _ in expected] == list(range(1, len(started) + 1))


def test_a_job_whose_messages_are_lost_does_not_wait_for_all_of_another(service: Service) -> None:
    """Its message expires behind each long job; that of the other classifier is always new."""
    many, late = queue(service, "many", 4), queue(service, "late", 1)
    dispatcher = Dispatcher(service.db, service.settings)
    dispatcher.tick()
    first = must_claim(service)
    assert first.job_id == many[0]
    for message in service.settings.queue_dir.glob("*.msg"):
        message.unlink()
    first.cancelled()
    dispatcher.tick()
    assert len(list(service.settings.queue_dir.glob("*.msg"))) == 1  # of the second of "many"
    assert must_claim(service).job_id == late[0]


def test_jobs_for_other_hardware_are_another_queue(service: Service) -> None:
    slow, fast = queue(service, "any", 2), queue(service, "gpu", 2, hardware="gpu")
    assert positions(service, slow) == positions(service, fast) == [1, 2]
    lease = claim(service, "gpu")
    assert lease is not None
    assert lease.job_id == fast[0]
    assert claim(service, "gpu") is None
    assert must_claim(service).job_id == slow[0]


def test_a_job_is_told_that_nobody_takes_it(service: Service) -> None:
    (job_id,) = queue(service, "gpu", 1, hardware="gpu")
    Health(service.db, service.settings, "wrk_1", ["default"], "cpu").register()
    dispatcher = Dispatcher(service.db, service.settings)
    dispatcher.tick()
    assert service.event_types(job_id) == ["created"]
    with service.db.transaction() as session:
        ago = service.db.now(session) - timedelta(minutes=2)
        session.execute(update(Job).values(created_at=ago))
    dispatcher.tick()
    dispatcher.tick()
    told = events.page(service.db, WORKSPACE, job_id, after=0, limit=10)
    assert [event.type for event in told] == ["created", "warning"]
    assert "GPU" in told[-1].message
    (other,) = queue(service, "any", 1)
    with service.db.transaction() as session:
        session.execute(update(Job).values(created_at=ago))
    dispatcher.tick()
    assert service.event_types(other) == ["created"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_log_names_the_job_given_up_and_not_that_of_the_message(service: Service) -> None:
    """The message is about the second job; the turn is the first one's."""
    first, second = (queue(service, name, 1)[0] for name in ("one", "two"))
    settings = service.settings.model_copy(update={"lease_seconds": 1.0})
    resources = Resources(settings.storage_url, "cpu", 1, None, 60.0, NO_CACHE, ROOM)
    runner = Runner(service.db, settings, "wrk_1", ["default"], resources, on_end=lambda: None)

    def logged() -> list[tuple[str, str | None]]:
        with capture_logs() as entries:
            runner.run(second)
        told = ("job_given_up", "database_unavailable", "job_abandoned")
        return [(e["event"], e.get("job")) for e in entries if e["event"] in told]

    with service.db.transaction() as session:
        session.execute(text("DROP TABLE upload_images"))  # a claim needs none, a plan does
    assert logged() == [("job_given_up", first)]
    assert service.job(first).state == "queued"
    with service.db.transaction() as session:
        session.execute(text("ALTER TABLE job_events RENAME TO gone"))
    # Which job would have been claimed is not known.
    assert logged() == [("database_unavailable", None)]
    assert service.job(second).state == "queued"


def starts(service: Service) -> list[str]:
    """Return the classifiers of all jobs in the order in which they were started."""
    with service.db.reading() as session:
        begun = select(Job.id).where(Job.started_at.is_not(None))
        started = session.scalars(begun.order_by(Job.started_at)).all()
    return [service.job(job_id).classifier for job_id in started]


@pytest.fixture
def served_here(place: Place, tmp_path: Path) -> Iterator[Service]:
    """A service with a dispatcher and short leases, without a worker."""
    with served(place(), tmp_path) as service:
        yield service


def test_one_worker_serves_a_late_classifier_in_its_turn(served_here: Service) -> None:
    service = served_here
    many = queue(service, "many", 5)
    late = queue(service, "late", 2)
    waiting = queue(service, "gpu", 1, hardware="gpu")
    with service.worker():
        for job_id in [*many, *late]:
            assert service.end(job_id).state == "succeeded"
        assert starts(service)[:4] == ["many", "late", "many", "late"]
        job = service.job(waiting[0])
        assert (job.state, job.attempt) == ("queued", 0)
        # Its message went to workers with a GPU. Once anybody may take it, it is sent again.
        patch = ClassifierPatch(hardware="any")
        classifiers.change(service.db, WORKSPACE, "gpu", patch)
        with service.db.transaction() as session:
            session.execute(update(Job).where(Job.id == waiting[0]).values(sent_at=None))
        assert service.end(waiting[0]).state == "succeeded"


def test_a_busy_worker_leaves_messages_to_others(served_here: Service) -> None:
    service = served_here
    with service.worker() as busy:
        held = train_forever(service, "held")
        waiting = queue(service, "next", 1)[0]

        def left_in_the_queue() -> int:
            with broker.make_celery(service.settings).connection_for_read() as connection:
                try:
                    found = connection.default_channel.queue_declare(DEFAULT_QUEUE, passive=True)
                except connection.channel_errors:
                    return 0  # Redis has no empty queues
            return int(found.message_count)

        service.wait(waiting, lambda _: left_in_the_queue() > 0)
        # It looks several times a second: by now it would have taken one.
        busy_until, left = time.monotonic() + 1, 1
        while time.monotonic() < busy_until:
            before, left = left, left_in_the_queue()
            assert left >= before  # two dispatchers may have sent one each
        service.cancel(held)
        assert service.end(waiting).state == "succeeded"
        assert stop(busy) == 0


@pytest.mark.slow
def test_three_workers_serve_as_many_classifiers_side_by_side(served_here: Service) -> None:
    service = served_here
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(service.worker())
        many = queue(service, "many", 5)
        others = [queue(service, name, 2) for name in ("one", "two", "three")]
        for job_id in [*many, *(job_id for own in others for job_id in own)]:
            assert service.end(job_id).state == "succeeded"
        order = starts(service)
        # Every classifier had its first turn before any had its third.
        assert set(order[: _third(order, "many")]) == {"many", "one", "two", "three"}
        # One job of each at a time, however many workers there are.
        for name in ("one", "two", "three"):
            service.cancel(service.learn(service.upload("x", count=3), name))
        held = [
            service.learn(service.upload("y", "z"), name, options=FOREVER)
            for name in ("one", "two", "three")
        ]
        behind = service.learn(service.upload("w", "v"), "one")
        for job_id in held:
            service.wait(job_id, lambda job: job.phase == "training")
        assert {service.job(job_id).state for job_id in held} == {"running"}
        assert service.job(behind).state == "queued"
        for job_id in held:
            service.cancel(job_id)
        assert service.end(behind).state == "succeeded"


def _third(order: list[str], name: str) -> int:
    return [place for place, each in enumerate(order) if each == name][2]


def test_nobody_reads_all_jobs_to_see_whose_turn_it_is(migrated_sqlite: Path) -> None:
    db = Database(f"sqlite:///{migrated_sqlite}")
    query = select(Job.id).where(Job.state == "queued", is_next())
    text = str(query.compile(db.engine, compile_kwargs={"literal_binds": True}))
    with db.reading() as session:
        plan = [
            row.detail for row in session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")
        ]
    db.close()
    # Those that run, once; and an older job of the same classifier, not any other that waits.
    running, older = [detail for detail in plan if detail.startswith("SEARCH jobs_")]
    assert "(state=?)" in running
    assert "(classifier_id=? AND state=? AND id<?)" in older
