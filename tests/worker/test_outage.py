"""The database or the storage goes while a job runs: nothing is lost, and no failure is counted."""

import time
from pathlib import Path

import psutil
import pytest

import migrations
from tests.servers import OwnPostgres
from tests.worker.harness import Place, Service, is_gone, served, training_process


def test_the_last_events_wait_for_the_database(
    own_postgres: OwnPostgres, method_held: None, tmp_path: Path
) -> None:
    migrations.upgrade(own_postgres.url)
    until = tmp_path / "until"
    with (
        served({"database": own_postgres.url}, tmp_path) as service,
        service.worker() as worker,
    ):
        undisturbed = learn(service, "undisturbed", until)
        until.touch()
        service.end(undisturbed)
        until.unlink()

        job_id = learn(service, "disturbed", until)
        child = training_process(psutil.Process(worker.pid))
        own_postgres.stop()
        until.touch()
        assert is_gone(child)
        time.sleep(1)  # the worker has what the process said, and cannot write it down
        own_postgres.start()

        assert service.end(job_id).state == "succeeded"
        assert service.event_types(job_id) == service.event_types(undisturbed)


@pytest.mark.slow
def test_a_job_outlasts_a_storage_that_is_away(place: Place, tmp_path: Path) -> None:
    """With one failure allowed, a failure that counted would end the job."""
    blobs, away = tmp_path / "blobs", tmp_path / "away"
    with (
        served(place(), tmp_path, storage=str(blobs), max_failures=1) as service,
        service.worker(storage=str(blobs), max_failures=1),
    ):
        upload, name = service.upload("a", "b"), service.classifier()
        blobs.rename(away)
        blobs.touch()  # as where something else is mounted: every path in it is an error
        job_id = service.learn(upload, name)
        waiting = service.wait(job_id, lambda job: job.not_before is not None)
        assert waiting.last_failure is not None
        assert waiting.last_failure.code == "storage-failed"
        blobs.unlink()
        away.rename(blobs)
        job = service.end(job_id)
        assert (job.state, job.version) == ("succeeded", 1)
        assert job.attempt >= 2


def learn(service: Service, name: str, until: Path) -> str:
    """Queue a job and return its id once it is about to be measured."""
    service.classifier(name, method="held", epochs=1, validation_fraction=0.2)
    options = {"until": str(until)}
    job_id = service.learn(service.upload("a", "b"), name, options=options)
    service.wait(job_id, lambda job: job.phase == "evaluating")
    return job_id
