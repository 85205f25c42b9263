"""Real workers on a test's own database, and tiny images to teach them."""

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.repositories import versions as version_rows
from app.db.tables import FINAL_STATES, Job, Version, Worker
from app.services.classifiers import accuracies, classifiers
from app.services.classifiers.spec import ClassifierSpec
from app.services.jobs import events, jobs
from app.services.jobs.views import JobView
from app.services.queue.dispatcher import Dispatcher
from app.services.steps import creation
from app.services.steps.plans import Plan
from app.services.steps.requests import (
    CorrectRequest,
    EvaluateRequest,
    ForgetRequest,
    LearnRequest,
    Request,
)
from app.services.uploads import uploads
from app.services.uploads.sources import Item, Split, UploadLimits
from app.settings import Settings
from app.storage import CacheFolder, open_store
from worker.room import ImageRoom

WORKSPACE = "default"
SIZE = 8
FOREVER = {"epochs": 10_000, "batch_size": 2}
NO_CACHE = CacheFolder(Path("not made"), 0)
ROOM = ImageRoom(2**40, Path("not made"))

# Settings of an empty, migrated database and of a broker, new ones each time.
Place = Callable[[], dict[str, str]]


def nothing(_session: Session, _view: Any) -> None:
    """Nothing to remember with what was created."""


class Pictures:
    """A source of tiny images: each class has its own colour, each image its own noise.

    `like` gives every class the pictures of one name; `groups` is how many each class is of.
    """

    def __init__(
        self,
        labels: Sequence[str],
        count: int,
        *,
        split: Split | None = None,
        like: str | None = None,
        groups: int | None = None,
    ) -> None:
        self.labels, self.count, self.split, self.like = labels, count, split, like
        self.groups = groups

    def items(self, _limits: UploadLimits) -> Iterator[Item]:
        for label in self.labels:
            name = self.like or f"{label} {self.split}"
            colour = np.random.default_rng(list(label.encode())).integers(40, 216, 3)
            if self.like:
                colour = np.full(3, 128)
            draw = np.random.default_rng(list(name.encode()))
            for number in range(self.count):
                noise = draw.integers(-40, 40, (SIZE, SIZE, 3))
                buffer = io.BytesIO()
                Image.fromarray((colour + noise).astype(np.uint8)).save(buffer, "PNG")
                group = f"{label} {number % self.groups}" if self.groups else None
                yield Item(f"{label}/{number}.png", label, buffer.getvalue(), self.split, group)

    def close(self) -> None:
        pass


def metrics_of(
    plan: Plan, accuracy: float | None, by_label: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """What would have been measured of a version that is everywhere this accurate.

    `by_label` are other accuracies of classes, None for those that it does not name.
    """
    row = [accuracy] * len({planned.task for planned in plan.classes})
    labels = [planned.label for planned in plan.classes]
    return {
        "accuracy": accuracy,
        "matrix": [row],
        "task_aware_matrix": [row],
        "accuracies": [accuracy],
        "per_class": [accuracy if by_label is None else by_label.get(label) for label in labels],
    }


class Service:
    """What a client of one service would do, without the HTTP.

    `wake` is called after every new job, as routes do: a dispatcher's, which sends it at once.
    """

    def __init__(
        self, db: Database, settings: Settings, wake: Callable[[], None] = lambda: None
    ) -> None:
        self.db, self.settings, self._wake = db, settings, wake

    def classifier(self, name: str = "toy", *, epochs: int = 2, **fields: Any) -> str:
        spec = {
            "name": name,
            "backbone": "convnet",
            "image_size": SIZE,
            "options": {"epochs": epochs, "batch_size": 8},
            "memory": {"exemplars": 12},
            "augment": {"crop": 0, "flip": False},
            **fields,
        }
        classifiers.create(
            self.db, WORKSPACE, ClassifierSpec.model_validate(spec), on_created=nothing
        )
        return name

    def upload(self, *labels: str, count: int = 10, **kind: Any) -> str:
        view = uploads.create(
            self.db,
            open_store(self.settings.storage_url),
            WORKSPACE,
            Pictures(labels, count, **kind),
            limits=UploadLimits.of(self.settings),
        )
        return view.id

    def learn(self, upload: str, name: str = "toy", **fields: Any) -> str:
        request = LearnRequest.model_validate({"uploads": [upload]} | fields)
        return self._create(name, request)

    def forget(self, *classes: str, name: str = "toy", **fields: Any) -> str:
        body = {"kind": "forget", "classes": list(classes), **fields}
        return self._create(name, ForgetRequest.model_validate(body))

    def correct(self, images: Mapping[str, str | None], name: str = "toy", **fields: Any) -> str:
        corrections = [{"sha256": sha256, "label": label} for sha256, label in images.items()]
        body = {"kind": "correct", "images": corrections, **fields}
        return self._create(name, CorrectRequest.model_validate(body))

    def evaluate(self, *upload_ids: str, name: str = "toy", **fields: Any) -> str:
        body = {"kind": "evaluate", "uploads": list(upload_ids), **fields}
        return self._create(name, EvaluateRequest.model_validate(body))

    def _create(self, name: str, request: Request) -> str:
        job = creation.create(self.db, WORKSPACE, name, request, on_created=nothing)
        self._wake()
        return job.id

    def job(self, job_id: str) -> JobView:
        return jobs.get(self.db, WORKSPACE, job_id)

    def metrics(self, version: Version) -> dict[str, Any]:
        """All that was measured of a version."""
        with self.db.reading() as session:
            classes = version_rows.classes(session, [version.id])[version.id]
            return accuracies.whole(session, version, classes)

    def cancel(self, job_id: str) -> JobView:
        return jobs.cancel(self.db, WORKSPACE, job_id)

    def retry(self, job_id: str) -> JobView:
        job = jobs.retry(self.db, WORKSPACE, job_id, on_created=nothing)
        self._wake()
        return job

    def shorten(self, job_id: str) -> None:
        """Have the next attempt of a job train for one epoch, and do nothing else."""
        with self.db.transaction() as session:
            job = session.get_one(Job, job_id)
            job.request = {**job.request, "options": {"epochs": 1}}

    def event_types(self, job_id: str) -> list[str]:
        found = events.page(self.db, WORKSPACE, job_id, after=0, limit=1000)
        assert [event.seq for event in found] == list(range(1, len(found) + 1))
        return [event.type for event in found]

    def versions(self) -> list[Version]:
        with self.db.reading() as session:
            return list(session.scalars(select(Version).order_by(Version.number)))

    def worker_ids(self) -> set[str]:
        """Return the ids of the workers that take jobs."""
        with self.db.reading() as session:
            return set(session.scalars(select(Worker.id)))

    def wait(self, job_id: str, done: Callable[[JobView], bool], seconds: float = 60) -> JobView:
        """Return the job once it is as wanted."""
        deadline = time.monotonic() + seconds
        while not done(job := self.job(job_id)):
            assert time.monotonic() < deadline, f"still {job}"
            assert job.state not in FINAL_STATES, f"ended as {job}"
            time.sleep(0.05)
        return job

    def end(self, job_id: str) -> JobView:
        """Return the job once it has ended."""
        return self.wait(job_id, lambda job: job.finished)

    @contextmanager
    def worker(
        self, *, within: Sequence[str] = (), **settings: Any
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A worker process, ready to take jobs; killed at the end if it still runs.

        `within` is a command that runs another one in a container of its kind.
        """
        environment = self._environment(**settings)
        before = self.worker_ids()
        process = subprocess.Popen([*within, sys.executable, "-m", "worker"], env=environment)
        try:
            while not self.worker_ids() - before:
                assert process.poll() is None, "the worker ended at its start"
                time.sleep(0.05)
            yield process
        finally:
            process.kill()
            process.wait()

    def _environment(self, **changed: Any) -> dict[str, str]:
        settings = self.settings.model_copy(update=changed)
        given = {
            name: value
            for name, value in settings.model_dump(mode="json").items()
            if value not in (None, [])
        }
        return os.environ | {f"ACCRUE_{name.upper()}": str(value) for name, value in given.items()}


@contextmanager
def served(place: dict[str, str], folder: Path, **settings: Any) -> Iterator[Service]:
    """A service with a dispatcher and without a worker."""
    own = {"device": "cpu", "train_threads": 1, **place, **settings}
    db, used = Database(place["database"]), Settings(data_dir=folder / "data", **own)
    dispatcher = Dispatcher(db, used)
    dispatcher.start()
    yield Service(db, used, dispatcher.wake)
    dispatcher.stop()
    db.close()


def train_forever(service: Service, name: str) -> str:
    """Queue a job that does not end and return its id once it trains."""
    job_id = service.learn(service.upload("a", "b"), service.classifier(name), options=FOREVER)
    service.wait(job_id, lambda job: job.phase == "training")
    return job_id


def training_process(worker: psutil.Process) -> psutil.Process:
    """The child that the fork server of a worker has made."""
    (found,) = [child for server in worker.children() for child in server.children()]
    return found


def is_gone(process: psutil.Process) -> bool:
    """Return whether a process ends within half a minute."""
    deadline = time.monotonic() + 30
    try:
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
    except psutil.NoSuchProcess:  # it ended between the two questions
        pass
    return True


def stop(process: subprocess.Popen[bytes]) -> int:
    """Ask a worker to end, and return its exit status."""
    process.send_signal(signal.SIGTERM)
    return process.wait(30)
