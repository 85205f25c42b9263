"""Jobs whose processes are killed give the very version that they would have given undisturbed."""

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.db.repositories import checkpoints as checkpoint_rows, versions as version_rows
from app.db.tables import Job
from app.services.jobs import events
from app.services.jobs.views import JobView
from tests.worker.harness import WORKSPACE, Place, Service, served, stop, training_process

# Several workers one after another: on a busy machine each takes its time to start.
pytestmark = pytest.mark.timeout(900)
# As often as is worth it: every moment is soon after a checkpoint.
OFTEN = {"checkpoint_seconds": 0.01}
# Enough steps to be killed among; some methods take longer over each.
LONG = {
    "icarl": {"epochs": 60},
    "replay": {"epochs": 60},
    "lwf": {"epochs": 40, "warm_up": 20},
    "mas": {"epochs": 60},
    "piggyback": {"epochs": 30},
    "packnet": {"epochs": 40, "retrain_epochs": 20},
    "lwm": {"epochs": 20},
    "finetune": {"epochs": 60},
    "joint": {"epochs": 60},
    "cs_kd": {"epochs": 60},
}


def at_first(first: str) -> Any:
    """Run one method in make test: tests/models/test_checkpoint.py resumes every method there."""
    return pytest.mark.parametrize(
        "method",
        [pytest.param(name, marks=() if name == first else pytest.mark.slow) for name in LONG],
    )


@pytest.fixture(scope="module")
def service(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose leases are short, without a worker."""
    folder = tmp_path_factory.mktemp("service")
    with served(place(), folder, lease_seconds=5, max_failures=20) as service:
        yield service


@pytest.fixture
def own_service(place: Place, tmp_path: Path) -> Iterator[Service]:
    """A service like that one for a single test, whose workers come and go."""
    with served(place(), tmp_path, lease_seconds=5) as service:
        yield service


@pytest.fixture(scope="module")
def worker(service: Service) -> Iterator[psutil.Process]:
    """A worker that the tests that leave it alive share."""
    with service.worker(**OFTEN) as process:
        yield psutil.Process(process.pid)


def twins(service: Service, method: str) -> list[str]:
    """Queue the same two steps in two classifiers; return the jobs of the second steps."""
    found = []
    first, second = service.upload("a", "b", count=20), service.upload("c", "d", count=20)
    for _ in range(2):
        name = service.classifier(
            f"{method}{random.getrandbits(40)}", method=method, seed=3, validation_fraction=0.2
        )
        service.learn(first, name, options={"epochs": 2})
        options = {"batch_size": 4, **LONG[method]}
        found.append(service.learn(second, name, options=options))
    return found


def row(service: Service, job_id: str) -> Any:
    """Return a job's checkpoint, None where it has none."""
    with service.db.reading() as session:
        return checkpoint_rows.newest(session, job_id)


def failures(service: Service, job_id: str) -> int:
    with service.db.reading() as session:
        return session.get_one(Job, job_id).failures


def in_training(service: Service, job_id: str, attempt: int) -> JobView:
    """Return the job once an attempt has made a checkpoint, and some moment after that."""

    def saved(job: JobView) -> bool:
        made = row(service, job_id)
        return job.phase == "training" and made is not None and made.attempt == attempt

    job = service.wait(job_id, saved, seconds=240)
    time.sleep(random.uniform(0, 0.2))  # at no moment in particular
    return job


def parts(service: Service, job_id: str) -> dict[str, str]:
    job = service.wait(job_id, lambda job: job.finished, seconds=300)
    assert job.state == "succeeded", job
    with service.db.reading() as session:
        (version,) = [v for v in service.versions() if v.job_id == job_id]
        return version_rows.parts(session, version.id)


def resumed(service: Service, job_id: str) -> list[int]:
    """Return the epochs that a job's attempts have gone on in."""
    said = events.page(service.db, WORKSPACE, job_id, after=0, limit=1000)
    assert not [event for event in said if event.type == "not_resumed"]
    return [event.data["epoch"] for event in said if event.type == "resumed"]


def assert_twins(service: Service, whole: str, broken: str, interruptions: int) -> None:
    assert parts(service, broken) == parts(service, whole)
    made = {version.job_id: version for version in service.versions()}
    assert made[broken].metrics == made[whole].metrics
    assert made[broken].memory == made[whole].memory
    assert service.job(broken).attempt == 1 + interruptions
    assert len(resumed(service, broken)) == interruptions
    assert row(service, broken) is None


@at_first("icarl")
def test_a_killed_training_process_changes_nothing(
    service: Service, worker: psutil.Process, method: str
) -> None:
    whole, broken = twins(service, method)
    fractions = []
    for attempt in (1, 2):
        in_training(service, broken, attempt)
        training_process(worker).kill()
        fractions.append(row(service, broken).progress["fraction"])
        # What was reached stays in sight from the first report on.
        job = service.wait(
            broken,
            lambda job, n=attempt: job.attempt > n and job.progress is not None,
            seconds=240,
        )
        assert job.progress.fraction >= fractions[-1] > 0.05
        assert job.progress.epoch
    assert_twins(service, whole, broken, interruptions=2)
    epochs = resumed(service, broken)
    assert epochs == sorted(epochs)


@at_first("packnet")
def test_killed_and_stopped_workers_change_nothing(own_service: Service, method: str) -> None:
    service = own_service
    whole, broken = twins(service, method)
    with service.worker(**OFTEN) as worker:
        in_training(service, broken, 1)
        worker.kill()
    before = row(service, broken)
    # Only the stop makes a checkpoint here: training takes less than an hour.
    with service.worker(checkpoint_seconds=3600) as worker:
        service.wait(
            broken,
            lambda job: (
                job.attempt == 2
                and job.progress is not None
                and job.progress.fraction > before.progress["fraction"]
            ),
            seconds=240,
        )
        assert stop(worker) == 0
    job, saved = service.job(broken), row(service, broken)
    assert (job.state, saved.attempt) == ("queued", 2)
    assert (saved.phase, saved.epoch, saved.step) > (before.phase, before.epoch, before.step)
    assert failures(service, broken) == 1
    with service.worker(**OFTEN):
        assert_twins(service, whole, broken, interruptions=2)


def test_a_cancelled_job_that_is_retried_goes_on(service: Service, worker: psutil.Process) -> None:
    whole, broken = twins(service, "finetune")
    in_training(service, broken, 1)
    service.cancel(broken)
    assert service.wait(broken, lambda job: job.finished, seconds=240).state == "cancelled"
    assert row(service, broken) is not None
    service.retry(broken)
    assert_twins(service, whole, broken, interruptions=1)
