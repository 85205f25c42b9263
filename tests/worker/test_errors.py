"""What a job says of its failure, where the thing itself has happened to a real process.

Of a process that is killed, of missing images, of too little time and of a memory that is too small
for its classes, `test_worker` tells.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.disk import fill
from tests.worker.harness import Place, Service, served


@pytest.fixture(scope="module")
def service(
    place: Place, method_held: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service whose jobs are tried twice, and its worker."""
    folder = tmp_path_factory.mktemp("service")
    with served(place(), folder, max_failures=2) as service, service.worker():
        yield service


def test_too_little_memory(service: Service) -> None:
    name = service.classifier("large", method="held")
    job_id = service.learn(service.upload("a", "b"), name, options={"act": "allocate"})
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


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ("not_stored", "it gives an image other scores than before"),
        ("unloadable", "it cannot be loaded (KeyError: 'a part that was never written')"),
    ],
)
def test_a_version_that_could_not_be_used_is_not_published(
    service: Service, act: str, reason: str
) -> None:
    name = service.classifier(act, method="held")
    job = service.end(service.learn(service.upload("a", "b"), name, options={"act": act}))
    assert job.error is not None
    assert (job.error.code, job.error.retryable) == ("read-back-failed", False)
    assert reason in job.error.detail
    assert "another method than held or another backbone than convnet" in job.error.detail
    assert job.attempt == 1  # the next attempt would store the same
    assert not [version for version in service.versions() if version.job_id == job.id]


def test_nor_is_one_without_some_classes(service: Service) -> None:
    options = {"epochs": 1, "act": "not_stored_by_forget"}
    name = service.classifier("forgetful", method="held", options=options)
    assert service.end(service.learn(service.upload("a", "b", "c"), name)).version == 1
    job = service.end(service.forget("a", name=name))
    assert job.error is not None
    assert (job.error.code, job.error.retryable) == ("read-back-failed", False)
    assert not [version for version in service.versions() if version.job_id == job.id]
