"""Whole workers as real processes, killed and stopped at their work."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from app.services.classifiers import classifiers
from app.services.classifiers.classifiers import ClassifierPatch
from app.storage import open_store
from models.spec import Budget
from tests.databases import images_of_upload
from tests.worker.harness import (
    FOREVER,
    WORKSPACE,
    Place,
    Service,
    is_gone,
    served,
    stop,
    train_forever,
    training_process,
)


@pytest.fixture(scope="module")
def running(
    place: Place, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, psutil.Process]]:
    """A service and its one worker, which the tests that leave it alive share."""
    with served(place(), tmp_path_factory.mktemp("service")) as service:
        with service.worker() as worker:
            yield service, psutil.Process(worker.pid)
            assert stop(worker) == 0
        assert not service.worker_ids()


@pytest.fixture
def service(place: Place, tmp_path: Path) -> Iterator[Service]:
    """A service whose leases are short, without a worker."""
    with served(place(), tmp_path, lease_seconds=2) as service:
        yield service


def test_versions_follow_each_other(running: tuple[Service, psutil.Process]) -> None:
    service, _ = running
    service.classifier("chain", validation_fraction=0.2)
    tests = service.upload("a", "b", count=3, split="test")
    train = service.upload("a", "b")
    first = service.learn(train, "chain", uploads=[train, tests])
    # Queued with the same label before it was learnt: its place in the queue decides.
    again = service.learn(service.upload("b", "x"), "chain")
    second = service.learn(service.upload("c", "d"), "chain")
    assert service.end(first).version == 1
    refused = service.end(again)
    assert refused.state == "failed"
    assert refused.error is not None
    assert (refused.error.code, refused.error.retryable) == ("class-already-learnt", False)
    job = service.end(second)
    assert (job.state, job.version, job.attempt) == ("succeeded", 2, 1)
    assert job.progress is not None
    assert (job.progress.fraction, job.progress.epoch, job.progress.epochs) == (1.0, 2, 2)
    types = service.event_types(second)
    assert types[:3] == ["created", "started", "phase"]
    assert types.count("epoch") == 2
    assert types[-2:] == ["published", "succeeded"]
    assert service.job(second).heartbeat_at is not None
    # Ten of the fourteen were there before: three of them are exemplars, two held out.
    extended = service.learn(service.upload("a", count=14), "chain", on_existing="extend")
    assert service.end(extended).version == 3
    first_version, _, last = service.versions()
    assert last.memory["exemplars"] == 12
    assert first_version.memory["held_out"] == 2 * (2 + 3)
    assert last.memory["held_out"] == 2 * (2 + 3) + 2 * 2
    assert set(service.metrics(last)["per_class"]) == {"a", "b", "c", "d"}


def test_metrics_rest_on_groups_after_learning_and_forgetting(
    running: tuple[Service, psutil.Process],
) -> None:
    service, _ = running
    service.classifier("grouped", validation_fraction=0.5)
    upload = service.upload("a", "b", "c", count=12, groups=4)
    learnt = service.learn(upload, "grouped")
    assert service.end(learnt).version == 1
    forgotten = service.forget("b", name="grouped")
    assert service.end(forgotten).version == 2
    found = {version.job_id: service.metrics(version) for version in service.versions()}
    for job, labels in ((learnt, "abc"), (forgotten, "ac")):
        metrics = found[job]
        # Two of the four groups of each class, with three images each.
        assert metrics["per_class_measured_on"] == dict.fromkeys(labels, 6)
        assert metrics["measured_on_groups"] == 2 * len(labels)
        assert metrics["standard_error_kind"] == "cluster_robust"
        assert metrics["standard_error"] is not None
        assert set(metrics["per_class_standard_error"]) == set(labels)
        assert metrics["leave_one_out"] is None  # this method cannot leave images out


def test_cancel_ends_training_at_once(running: tuple[Service, psutil.Process]) -> None:
    service, worker = running
    job_id = train_forever(service, "cancelled")
    child = training_process(worker)
    assert service.cancel(job_id).state == "cancelling"
    assert service.end(job_id).state == "cancelled"
    assert is_gone(child)


def test_a_job_that_keeps_killing_its_process_fails(
    running: tuple[Service, psutil.Process],
) -> None:
    service, worker = running
    job_id = train_forever(service, "deadly")
    for attempt in range(1, service.settings.max_failures + 1):
        service.wait(job_id, lambda job, n=attempt: job.attempt == n and job.phase == "training")
        training_process(worker).kill()
    job = service.end(job_id)
    assert job.state == "failed"
    assert job.error is not None
    assert (job.error.code, job.error.retryable) == ("worker-lost", True)
    assert "SIGKILL" in job.error.detail
    assert job.attempt == service.settings.max_failures


def test_an_image_that_is_gone_fails_the_job_at_once(
    running: tuple[Service, psutil.Process],
) -> None:
    service, _ = running
    upload = service.upload("lost", "found", count=3)
    store = open_store(service.settings.storage_url)
    with service.db.reading() as session:
        (lost, *_) = images_of_upload(session, upload)
    store.delete(lost.sha256)
    job = service.end(service.learn(upload, service.classifier("lossy")))
    assert (job.state, job.attempt) == ("failed", 1)
    assert job.error is not None
    assert (job.error.code, job.error.retryable) == ("data-missing", False)
    assert f"no blob {lost.sha256}; send that image again" in job.error.detail


def test_a_memory_too_small_is_found_before_training_and_mended_by_a_patch(
    running: tuple[Service, psutil.Process],
) -> None:
    service, _ = running
    name = service.classifier("forgetful", memory={"megabytes": 0.0001})
    job_id = service.learn(service.upload("a", "b"), name)
    job = service.end(job_id)
    assert job.error is not None
    assert (job.error.code, job.error.retryable) == ("memory-too-small", True)
    assert "PATCH" in job.error.detail
    assert "epoch" not in service.event_types(job_id)
    patch = ClassifierPatch(memory=Budget(exemplars=30))
    classifiers.change(service.db, WORKSPACE, name, patch)
    service.retry(job_id)
    assert service.end(job_id).version == 1


def test_a_job_that_takes_too_long_fails(running: tuple[Service, psutil.Process]) -> None:
    service, _ = running
    upload, name = service.upload("a", "b"), service.classifier("slow")
    job = service.end(service.learn(upload, name, options=FOREVER, max_minutes=0.005))
    assert job.state == "failed"
    assert job.error is not None
    assert job.error.code == "timed-out"


def test_a_process_that_does_nothing_dies_with_its_worker_too(service: Service) -> None:
    """As one that is stuck in a call: it cannot see that its worker is gone."""
    with service.worker() as worker:
        train_forever(service, "stuck")
        child = training_process(psutil.Process(worker.pid))
        child.suspend()
        try:
            worker.kill()
            worker.wait()
            assert is_gone(child)
        finally:
            if child.is_running():
                child.kill()


# In make test, test_resume stops and kills workers of one job.
@pytest.mark.slow
def test_a_job_survives_stopped_and_killed_workers(service: Service) -> None:
    with service.worker() as worker:
        job_id = train_forever(service, "survivor")
        child = training_process(psutil.Process(worker.pid))
        assert stop(worker) == 0
        assert is_gone(child)
    assert service.job(job_id).state == "queued"
    assert service.event_types(job_id)[-1] == "requeued"

    with service.worker() as worker:
        service.wait(job_id, lambda job: job.phase == "training" and job.attempt == 2)
        child = training_process(psutil.Process(worker.pid))
        worker.kill()
        worker.wait()
        assert is_gone(child)
    # The dispatcher says so once the lease has run out, or the next worker as soon as it is there.
    service.shorten(job_id)
    with service.worker():
        job = service.end(job_id)
    assert (job.state, job.attempt, job.version) == ("succeeded", 3, 1)
    assert len(service.versions()) == 1
