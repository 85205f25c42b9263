"""The capacity model's arithmetic, against numbers worked out by hand."""

import pytest

from benchmarks.capacity.model import Learning, LearningJob, Serving, Storage


def test_requests_are_bounded_by_cores_and_by_event_loops() -> None:
    serving = Serving(loop_ms=0.25, around_ms=0.25, forward_ms=1.5)
    assert serving.requests_per_second(cores=1) == 500
    assert serving.requests_per_second(cores=4) == 2000
    # Ten cores could do 5,000, one event loop does 4,000, two do more than the cores.
    assert serving.requests_per_second(cores=10) == 4000
    assert serving.requests_per_second(cores=10, processes=2) == 5000


def test_a_job_takes_what_its_images_and_passes_take() -> None:
    job = LearningJob(fresh=90, exemplars=10, held_out=10, epochs=5)
    assert (job.images, job.passes) == (110, 500)
    learning = Learning(fixed=1.0, per_image=0.01, per_pass=0.002, per_taught_pass=0.003)
    assert learning.seconds(job, first=True) == pytest.approx(1 + 1.1 + 1.0)
    assert learning.seconds(job, first=False) == pytest.approx(1 + 1.1 + 1.5)


@pytest.mark.parametrize(
    ("workers", "cores", "classifiers", "at_once"), [(4, 8, 8, 4), (4, 2, 8, 2), (4, 8, 1, 1)]
)
def test_jobs_are_bounded_by_workers_cores_and_classifiers(
    workers: int, cores: int, classifiers: int, at_once: int
) -> None:
    assert Learning.jobs_per_hour(36, workers, cores, classifiers) == at_once * 100


def test_bytes_add_up() -> None:
    storage = Storage(per_version=1000, per_class=10, image_rows=500, job_rows=2000)
    assert storage.blobs(5000, [4, 8]) == 5000 + 1040 + 1080
    assert storage.database(images=10, jobs=2) == 9000
