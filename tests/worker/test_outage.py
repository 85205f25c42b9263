"""The database goes while a job ends: nothing of what happened is missing afterwards."""

import time
from pathlib import Path

import psutil

import migrations
from tests.servers import OwnPostgres
from tests.worker.harness import Service, is_gone, served, training_process


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


def learn(service: Service, name: str, until: Path) -> str:
    """Queue a job and return its id once it is about to be measured."""
    service.classifier(name, method="held", epochs=1, validation_fraction=0.2)
    options = {"until": str(until)}
    job_id = service.learn(service.upload("a", "b"), name, options=options)
    service.wait(job_id, lambda job: job.phase == "evaluating")
    return job_id
