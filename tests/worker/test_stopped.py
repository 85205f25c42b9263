"""A worker that was stopped until its lease had run out, and comes back."""

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from app.services.upkeep.sweeping import sweep
from app.storage import LocalBlobStore, open_store
from tests.worker.harness import (
    Place,
    Service,
    is_gone,
    served,
    stop,
    train_forever,
    training_process,
)


@pytest.fixture
def service(place: Place, tmp_path: Path) -> Iterator[Service]:
    """A service whose leases are short."""
    with served(place(), tmp_path, lease_seconds=2) as service:
        yield service


def test_it_changes_nothing_cleans_up_and_serves_again(service: Service) -> None:
    with service.worker() as stopped:
        job_id = train_forever(service, "kept")
        child = training_process(psutil.Process(stopped.pid))
        stopped.send_signal(signal.SIGSTOP)
        service.wait(job_id, lambda job: job.state == "queued")
        service.shorten(job_id)
        before = service.worker_ids()
        with service.worker() as other:
            job = service.end(job_id)
            assert (job.state, job.attempt, job.version) == ("succeeded", 2, 1)
            assert stop(other) == 0
        said = service.event_types(job_id)
        # What it was in the middle of is nobody's any more.
        assert child.is_running()
        stopped.send_signal(signal.SIGCONT)
        assert is_gone(child)
        assert service.job(job_id) == job
        assert service.event_types(job_id) == said
        assert service.worker_ids() == before
        assert service.end(service.learn(service.upload("c"), "kept")).version == 2
        assert [version.number for version in service.versions()] == [1, 2]
        assert stop(stopped) == 0
    assert service.worker_ids() == set()
    # Its training process may have been ended in the middle of a write.
    store = open_store(service.settings.storage_url)
    assert isinstance(store, LocalBlobStore)
    sweep(service.db, store, service.settings.model_copy(update={"sweep_grace_hours": 1e-9}))
    assert list((Path(service.settings.storage_url) / "incoming").iterdir()) == []
