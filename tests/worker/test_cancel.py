"""A job is cancelled in every phase, in real processes, and leaves nothing behind."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import select

from app.db.tables import Image, JobCheckpoint, VersionPart
from app.services.upkeep import sweeping
from app.storage import open_store
from tests.databases import images_of_upload
from tests.worker.harness import FOREVER, Place, Service, is_gone, served, training_process


@pytest.fixture(scope="module")
def running(
    place: Place, method_held: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, psutil.Process]]:
    """A service and a worker that waits for ever for a cancelled process: only looking ends it."""
    folder = tmp_path_factory.mktemp("service")
    with (
        served(place(), folder) as service,
        service.worker(cancel_grace_seconds=600.0) as worker,
    ):
        yield service, psutil.Process(worker.pid)


def classifier(service: Service, name: str) -> str:
    return service.classifier(name, method="held", epochs=1, validation_fraction=0.2)


def held(service: Service, name: str, phase: str, **options: Any) -> str:
    """Queue a job and return its id once it is in a phase."""
    job_id = service.learn(service.upload("a", "b"), classifier(service, name), options=options)
    service.wait(job_id, lambda job: job.phase == phase)
    return job_id


def assert_cancelled(service: Service, job_id: str, name: str) -> None:
    """It is cancelled without a trace, the next job runs, and it can be tried again."""
    job = service.end(job_id)
    assert (job.state, job.version, job.error) == ("cancelled", None, None)
    assert service.event_types(job_id)[-1] == "cancelled"
    assert_nothing_left(service, job_id)
    after = service.end(service.learn(service.upload("c", "d"), name))
    assert (after.state, after.version) == ("succeeded", 1)
    service.shorten(job_id)
    assert service.retry(job_id).state == "queued"
    again = service.end(job_id)
    assert (again.state, again.version) == ("succeeded", 2)


def assert_nothing_left(service: Service, job_id: str) -> None:
    assert [version for version in service.versions() if version.job_id == job_id] == []
    # Whatever was stored on the way is nothing that anybody needs: the next sweep takes it.
    store = open_store(service.settings.storage_url)
    at_once = service.settings.model_copy(update={"sweep_grace_hours": 1e-9})
    for _ in range(2):  # what had a row is marked first
        sweeping.sweep(service.db, store, at_once)
    with service.db.reading() as session:
        assert session.get(JobCheckpoint, job_id) is None
        needed = {
            *session.scalars(select(VersionPart.sha256)),
            *session.scalars(select(Image.sha256)),
        }
    assert {blob.sha256 for blob in store.stored()} <= needed


def test_while_it_waits(running: tuple[Service, psutil.Process]) -> None:
    service, _ = running
    first = held(service, "queued", "training", **FOREVER)
    second = service.learn(service.upload("a", "b"), "queued")
    assert service.cancel(second).state == "cancelled"
    service.cancel(first)
    assert service.end(first).state == "cancelled"
    assert_cancelled(service, second, "queued")


def test_while_it_reads_its_images(running: tuple[Service, psutil.Process]) -> None:
    service, _ = running
    upload = service.upload("a", "b")
    store = open_store(service.settings.storage_url)
    with service.db.reading() as session:
        path = store.path(images_of_upload(session, upload)[0].sha256)
    assert path is not None
    data = path.read_bytes()
    path.unlink()
    os.mkfifo(path)  # storage that does not answer yet
    job_id = service.learn(upload, classifier(service, "preparing"))
    service.wait(job_id, lambda job: job.phase == "preparing" and job.progress is not None)
    assert service.cancel(job_id).state == "cancelling"
    path.write_bytes(data)
    service.end(job_id)
    path.unlink()
    path.write_bytes(data)
    assert_cancelled(service, job_id, "preparing")


def test_while_it_trains(running: tuple[Service, psutil.Process]) -> None:
    service, worker = running
    job_id = held(service, "training", "training", **FOREVER)
    child = training_process(worker)
    assert service.cancel(job_id).state == "cancelling"
    assert_cancelled(service, job_id, "training")
    assert is_gone(child)


def test_while_it_chooses_exemplars(running: tuple[Service, psutil.Process]) -> None:
    service, _ = running
    job_id = held(service, "herding", "selecting_exemplars", act="herd")
    assert service.cancel(job_id).state == "cancelling"
    assert_cancelled(service, job_id, "herding")


def test_while_it_is_measured(running: tuple[Service, psutil.Process], tmp_path: Path) -> None:
    service, _ = running
    until = tmp_path / "until"
    job_id = held(service, "evaluating", "evaluating", until=str(until))
    assert service.cancel(job_id).state == "cancelling"
    service.wait(job_id, lambda job: job.state == "cancelling")
    until.touch()
    assert_cancelled(service, job_id, "evaluating")


def test_while_its_tensors_are_stored(running: tuple[Service, psutil.Process]) -> None:
    service, _ = running
    job_id = held(service, "publishing", "publishing", act="many_parts")
    assert service.cancel(job_id).state == "cancelling"
    assert_cancelled(service, job_id, "publishing")


def test_a_process_that_does_not_listen_is_killed(
    place: Place, method_held: None, tmp_path: Path
) -> None:
    with (
        served(place(), tmp_path) as service,
        service.worker(cancel_grace_seconds=0.5) as worker,
    ):
        job_id = held(service, "deaf", "selecting_exemplars", act="deaf")
        child = training_process(psutil.Process(worker.pid))
        assert service.cancel(job_id).state == "cancelling"
        assert_cancelled(service, job_id, "deaf")
        assert is_gone(child)
