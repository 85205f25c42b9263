"""A training process that is silent: hung, or inside one long call that it has announced.

A blob that is a named pipe stands for storage that does not answer.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from app.db.repositories import versions as version_rows
from app.db.tables import Job
from app.services.queue.dispatcher import Dispatcher
from app.services.steps.publication import Outcome
from app.storage import open_store
from tests.databases import ONE_KIND_AT_FIRST, images_of_upload
from tests.worker.harness import NO_CACHE, ROOM, Service
from worker import child, processes, runner
from worker.attempt import Attempt
from worker.lease import Lease
from worker.protocol import Failure, Message, Quiet, Report, Resources

pytestmark = ONE_KIND_AT_FIRST


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process hangs when it is silent for a moment."""
    monkeypatch.setattr(runner, "_SILENCE_SECONDS", 0.5)
    processes.start_server()
    processes.probe_device()


@pytest.fixture
def service(service: Service) -> Service:
    """A service whose leases are short."""
    return Service(service.db, service.settings.model_copy(update={"lease_seconds": 2.0}))


@contextmanager
def running(service: Service, job_id: str) -> Iterator[None]:
    """A worker's runner at work on a job, in this process."""
    resources = Resources(service.settings.storage_url, "cpu", 1, None, 60.0, NO_CACHE, ROOM)
    worker = runner.Runner(
        service.db, service.settings, "wrk_1", ["default"], resources, on_end=lambda: None
    )
    thread = threading.Thread(target=worker.run, args=(job_id,))
    thread.start()
    yield
    worker.stop()
    thread.join()


def lease_end(service: Service, job_id: str) -> float:
    with service.db.reading() as session:
        moment = session.scalar(select(Job.lease_expires_at).where(Job.id == job_id))
    return moment.timestamp() if moment else 0.0


def block(path: Path) -> bytes:
    """Have reads of a file wait, and return what it held."""
    data = path.read_bytes()
    path.unlink()
    os.mkfifo(path)
    return data


@pytest.mark.slow
def test_a_hung_process_loses_its_job(service: Service) -> None:
    service.classifier()
    upload = service.upload("a", count=3)
    store = open_store(service.settings.storage_url)
    with service.db.reading() as session:
        path = store.path(images_of_upload(session, upload)[0].sha256)
    assert path is not None
    block(path)
    job_id = service.learn(upload)
    with running(service, job_id):
        dispatcher = Dispatcher(service.db, service.settings)

        def freed(_job: object) -> bool:
            dispatcher.tick()
            return service.event_types(job_id)[-1] == "requeued"

        service.wait(job_id, freed)
    assert service.job(job_id).state == "queued"


def test_a_download_of_weights_is_announced(service: Service, tmp_path: Path) -> None:
    service.classifier(backbone="squeezenet1_1", weights="DEFAULT", image_size=32, options={})
    lease = Lease.claim(
        service.db, service.settings, service.learn(service.upload("a", count=3)), "wrk_1"
    )
    assert lease is not None
    # What the folder has instead of a download ends the step as soon as it is read.
    (tmp_path / "squeezenet1_1-b8a52dc0.pth").write_text("no weights")
    resources = Resources(service.settings.storage_url, "cpu", 1, tmp_path, 60.0, NO_CACHE, ROOM)
    said: list[Message] = []
    end = child.run(Attempt(lease.plan(), resources, said.append))
    assert isinstance(end, Failure)
    assert said[-1] == Quiet(1800.0)


def test_each_part_that_is_stored_is_a_sign_of_life(service: Service) -> None:
    service.classifier(epochs=1)
    lease = Lease.claim(
        service.db, service.settings, service.learn(service.upload("a", count=3)), "wrk_1"
    )
    assert lease is not None
    resources = Resources(service.settings.storage_url, "cpu", 1, None, 60.0, NO_CACHE, ROOM)
    said: list[Message] = []
    outcome = child.run(Attempt(lease.plan(), resources, said.append))
    assert isinstance(outcome, Outcome)
    signs = [m for m in said if isinstance(m, Report) and m.phase == "publishing"]
    # One more before the version is read back.
    assert len(signs) == len(outcome.parts) + 1 > 2


def test_an_announced_long_call_keeps_its_job(service: Service) -> None:
    service.classifier()
    first = service.learn(service.upload("a", "b", count=4))
    with running(service, first):
        assert service.end(first).state == "succeeded"
    (version,) = service.versions()
    with service.db.reading() as session:
        parts = version_rows.parts(session, version.id)
    path = open_store(service.settings.storage_url).path(parts["backbone"])
    assert path is not None
    data = block(path)
    second = service.learn(service.upload("c", count=4))
    with running(service, second):
        # Extended until well after the first lease, and the silence allowed to any process.
        started = service.wait(second, lambda job: job.started_at is not None).started_at
        assert started is not None
        late = (started + timedelta(seconds=6)).timestamp()
        service.wait(second, lambda _: lease_end(service, second) > late)
        path.write_bytes(data)  # what the process waits for
        assert service.wait(second, lambda job: job.finished).attempt == 1
    assert service.job(second).state == "succeeded"
