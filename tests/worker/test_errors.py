"""What a job says of its failure, where the thing itself has happened to a real process.

Of a process that is killed, of missing images, of too little time and of a memory that is too small
for its classes, `test_worker` tells.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.disk import fill
from tests.worker.harness import Place, Service, served


@pytest.fixture
def service(place: Place, method_held: None, tmp_path: Path) -> Iterator[Service]:
    """A service whose jobs are tried twice."""
    with served(place(), tmp_path, max_failures=2) as service:
        yield service


def test_too_little_memory(service: Service) -> None:
    name = service.classifier(method="held")
    job_id = service.learn(service.upload("a", "b"), name, options={"act": "allocate"})
    with service.worker():
        job = service.end(job_id)
        assert job.error is not None
        assert (job.error.code, job.error.retryable) == ("out-of-memory", True)
        assert job.attempt == 2  # what else took the memory may have ended
        service.shorten(job_id)
        service.retry(job_id)
        assert service.end(job_id).version == 1


def test_a_full_storage(place: Place, small_disk: Path, tmp_path: Path) -> None:
    with (
        served(place(), tmp_path, storage=str(small_disk)) as service,
        service.worker(storage=str(small_disk)),
    ):
        upload, name = service.upload("a", "b"), service.classifier()
        filler = fill(small_disk)
        job_id = service.learn(upload, name)
        job = service.end(job_id)
        assert job.error is not None
        assert (job.error.code, job.error.retryable) == ("storage-full", True)
        assert job.attempt == 1  # nobody makes room by himself
        assert not service.versions()
        assert list((small_disk / "incoming").iterdir()) == []
        filler.unlink()
        service.retry(job_id)
        assert service.end(job_id).version == 1
