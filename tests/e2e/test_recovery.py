"""Recovery from a restart, and from a worker killed in the middle of a job."""

import signal
from collections.abc import Callable

import psutil
import pytest

from tests.e2e.harness import Digits, Service, gone, wait_for


# With a restore between stop and start, test_restore does so in make test.
@pytest.mark.slow
def test_a_restart_changes_no_answer(start: Callable[..., Service], digits: Digits) -> None:
    service = start()
    service.create("kept")
    for labels in ([0, 1], [2, 3]):
        service.learn("kept", digits.zip(labels))
    images = [digits.held_out(label) for label in range(10)]

    def state() -> list[object]:
        versions = service.http.get("/v1/classifiers/kept/versions").json()
        answers = [
            service.predict("kept", image, version=number) for number in (1, 2) for image in images
        ]
        return [versions, answers]

    before = state()
    service.predict_by("kept", 2, images[0])
    processes = psutil.Process(service.process.pid).children(recursive=True)

    # Ctrl-C: a graceful shutdown of all processes.
    assert service.stop(signal.SIGINT) == 0
    wait_for(lambda: gone(processes))

    service = start()
    assert service.predict("kept", images[0])["version"] == 2
    assert state() == before


@pytest.mark.slow
def test_a_job_survives_the_death_of_its_worker(
    start: Callable[..., Service], digits: Digits
) -> None:
    service = start(ACCRUE_LEASE_SECONDS="2")
    service.create("killed", options={"epochs": 60})
    job_id = service.queue("killed", digits.zip([0, 1], train=100))["id"]

    def in_training() -> bool:
        return ((service.job(job_id)["progress"] or {}).get("epoch") or 0) > 1

    wait_for(in_training)
    worker = service.child("accrue worker")
    assert worker
    # Operators know the processes by these names.
    assert service.child("accrue api")
    assert service.child(f"accrue job {job_id}") in worker.children(recursive=True)
    family = worker.children(recursive=True)
    worker.kill()

    # Its child ends with it; `accrue up` starts another worker, which takes the job.
    wait_for(lambda: gone(family))
    job = service.finished(job_id)
    assert (job["state"], job["attempt"], job["version"]) == ("succeeded", 2, 1), job
    versions = service.http.get("/v1/classifiers/killed/versions").json()["data"]
    assert [version["number"] for version in versions] == [1]
    successor = service.child("accrue worker")
    assert successor
    assert successor.pid != worker.pid
