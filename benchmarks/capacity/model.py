"""The capacity model: requests a second, jobs an hour and bytes, from constants of one machine.

docs/scaling.md says where the constants come from and what to add when something is full.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Serving:
    """CPU milliseconds of one ``POST /predict`` with one image."""

    # On the event loop: HTTP, and all else for which a process cannot use a second core.
    loop_ms: float
    # On any thread, without the network: decoding, batching, the answer.
    around_ms: float
    # In the network, one image in a batch.
    forward_ms: float

    @property
    def request_ms(self) -> float:
        """CPU milliseconds a request, all threads together."""
        return self.loop_ms + self.around_ms + self.forward_ms

    def requests_per_second(self, cores: float, processes: int = 1) -> float:
        """Return the capacity of `processes` API processes that share `cores` cores."""
        by_cores = cores * 1e3 / self.request_ms
        by_loops = processes * 1e3 / self.loop_ms
        return min(by_cores, by_loops)


@dataclass(frozen=True)
class LearningJob:
    """A learning job: `fresh` new training images, exemplars beside them, held-out images."""

    fresh: int
    exemplars: int
    held_out: int
    epochs: int

    @property
    def images(self) -> int:
        """Images that are read, herded or measured on, once each."""
        return self.fresh + self.exemplars + self.held_out

    @property
    def passes(self) -> int:
        """Images that are trained on, once an epoch each."""
        return self.epochs * (self.fresh + self.exemplars)


@dataclass(frozen=True)
class Learning:
    """Seconds of a job on one worker."""

    # Claim, process, checkpoints of the classifier, publication: what every job costs.
    fixed: float
    # Reading, decoding, herding, measuring: once an image.
    per_image: float
    # Forward and backward, once an image and epoch: at the first task, and with a teacher.
    per_pass: float
    per_taught_pass: float

    def seconds(self, job: LearningJob, *, first: bool) -> float:
        """Return how long a worker needs for the job."""
        per_pass = self.per_pass if first else self.per_taught_pass
        return self.fixed + job.images * self.per_image + job.passes * per_pass

    @staticmethod
    def jobs_per_hour(seconds: float, workers: int, cores: int, classifiers: int) -> float:
        """Return how many jobs of that length finish in an hour.

        Each worker takes one core (ACCRUE_TRAIN_THREADS=1); a classifier has one job at a time.
        """
        return min(workers, cores, classifiers) * 3600 / seconds


@dataclass(frozen=True)
class Storage:
    """Stored bytes."""

    # Tensors of a version: the network, and each class's row of the head and mean.
    per_version: float
    per_class: float
    # In the database: an image of an upload, and a job with its version and events.
    image_rows: float
    job_rows: float

    def blobs(self, image_bytes: float, versions: list[int]) -> float:
        """Return the bytes of images and of versions; these are given by their class counts."""
        return image_bytes + sum(self.per_version + n * self.per_class for n in versions)

    def database(self, images: int, jobs: int) -> float:
        """Return the bytes of rows, including indices."""
        return images * self.image_rows + jobs * self.job_rows
