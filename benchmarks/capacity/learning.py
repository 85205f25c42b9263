"""Jobs an hour and bytes: predicts chains of long jobs from four short ones."""

import io
import itertools
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from app.client.client import Client
from app.client.jobs import FINAL_STATES, require_success
from app.demo.server import running_service
from benchmarks.capacity.checks import Check
from benchmarks.capacity.model import Learning, LearningJob, Storage
from benchmarks.serving.workloads import picture

_CLASSES = 4  # of a task
_MEMORY = 200
_ROUNDS = 3
_SETTINGS = {"ACCRUE_TRAIN_THREADS": "1", "ACCRUE_LOG_LEVEL": "warning"}
# Sizes for the check; the constants come from other sizes.
_TASKS, _FRESH, _EPOCHS = 3, 600, 6
_CLASSIFIERS = 2


def measure() -> tuple[Learning, Storage, list[Check]]:
    """Return the constants for iCaRL and resnet32, and their checks."""
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        with running_service(data_dir, **_SETTINGS) as url, Client(url) as client:
            bench = _Bench(client, data_dir)
            learning, storage = _constants(bench)
            checks = [*_check(bench, learning, storage, workers=1)]
            with _second_worker(data_dir):
                checks += _check(bench, learning, storage, workers=2)
    return learning, storage, checks


class _Bench:
    """A service, classifiers of one kind and images that no two of them share."""

    def __init__(self, client: Client, data_dir: Path) -> None:
        self.client = client
        self.data_dir = data_dir
        self._numbers = itertools.count()

    def classifier(self, epochs: int) -> str:
        name = f"capacity-{next(self._numbers)}"
        options = {"epochs": epochs, "batch_size": 128}
        self.client.post(
            "/v1/classifiers",
            {
                "name": name,
                "method": "icarl",
                "options": options,
                "memory": {"exemplars": _MEMORY},
            },
        )
        return name

    def upload(self, images: int) -> tuple[str, int]:
        """Upload images of new classes; return the id of the upload and the bytes of the images."""
        first, sent = next(self._numbers), 0
        buffer = io.BytesIO()
        draw = np.random.default_rng(first)
        with zipfile.ZipFile(buffer, "w") as archive:
            for number in range(images):
                label = f"{first}.{number % _CLASSES}"
                png = picture(draw)
                sent += len(png)
                archive.writestr(f"train/{label}/{number}.png", png)
        headers = {"Content-Type": "application/zip"}
        return self.client.post_bytes("/v1/uploads", buffer.getvalue(), headers)["id"], sent

    def queue(self, classifier: str, upload: str) -> str:
        body = {"kind": "learn", "uploads": [upload]}
        job: str = self.client.post(f"/v1/classifiers/{classifier}/jobs", body)["id"]
        return job

    def finished(self, job_id: str) -> dict[str, Any]:
        while (job := self.client.get(f"/v1/jobs/{job_id}"))["state"] not in FINAL_STATES:
            time.sleep(0.05)
        require_success(job)
        return dict(job)

    def version(self, classifier: str) -> dict[str, Any]:
        return dict(self.client.get(f"/v1/classifiers/{classifier}/versions/live"))

    def blobs(self) -> int:
        """Bytes of all blobs."""
        folder = self.data_dir / "blobs"
        return sum(path.stat().st_size for path in folder.glob("??/??/*"))

    def rows(self) -> int:
        """Bytes that the database uses of its file."""
        with sqlite3.connect(self.data_dir / "accrue.db") as connection:
            pages, free, size = (
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
        return int((pages - free) * size)


def _constants(bench: _Bench) -> tuple[Learning, Storage]:
    """Solve for the constants from jobs that differ in one thing each."""
    empty = bench.rows()
    uploads = [bench.upload(1000) for _ in range(2)]
    image_rows = (bench.rows() - empty) / 2000
    fresh = {200: bench.upload(200)[0], 1000: uploads[0][0], 1001: uploads[1][0]}

    def run(classifier: str, images: int) -> float:
        return _seconds(bench.finished(bench.queue(classifier, fresh[images])))

    run(bench.classifier(1), 200)  # warms the worker up
    before = bench.rows()
    seen: dict[str, list[float]] = {name: [] for name in ("short", "long", "wide", "taught")}
    for _ in range(_ROUNDS):
        seen["short"].append(run(bench.classifier(2), 200))
        seen["long"].append(run(bench.classifier(12), 200))
        both = bench.classifier(2)
        seen["wide"].append(run(both, 1000))
        first = bench.version(both)
        seen["taught"].append(run(both, 1001))
    second = bench.version(both)
    took = {name: statistics.median(values) for name, values in seen.items()}
    short, wide = _job(200, 0, 2), _job(1000, 0, 2)
    long, taught = _job(200, 0, 12), _job(1000, _MEMORY, 2)
    per_pass = (took["long"] - took["short"]) / (long.passes - short.passes)
    per_image = (took["wide"] - took["short"] - per_pass * (wide.passes - short.passes)) / (
        wide.images - short.images
    )
    fixed = took["short"] - short.images * per_image - short.passes * per_pass
    per_taught = (took["taught"] - fixed - taught.images * per_image) / taught.passes
    per_class = (second["size_bytes"] - first["size_bytes"]) / _CLASSES
    jobs = 4 * _ROUNDS
    return (
        Learning(fixed, per_image, per_pass, per_taught),
        Storage(
            first["size_bytes"] - _CLASSES * per_class,
            per_class,
            image_rows,
            (bench.rows() - before) / jobs,
        ),
    )


def _check(bench: _Bench, learning: Learning, storage: Storage, *, workers: int) -> Iterator[Check]:
    """Teach two classifiers three tasks each at the same time, and compare."""
    blobs, rows = bench.blobs(), bench.rows()
    queued, sent = [], 0
    names = [bench.classifier(_EPOCHS) for _ in range(_CLASSIFIERS)]
    uploads = []
    for _ in range(_TASKS * _CLASSIFIERS):
        upload, size = bench.upload(_FRESH)
        uploads.append(upload)
        sent += size
    for number, upload in enumerate(uploads):
        queued.append(bench.queue(names[number % _CLASSIFIERS], upload))
    jobs = [bench.finished(job_id) for job_id in queued]
    begun = min(_at(job, "created_at") for job in jobs)
    ended = max(_at(job, "finished_at") for job in jobs)
    seconds = (
        learning.seconds(_job(_FRESH, 0, _EPOCHS), first=True)
        + (_TASKS - 1) * learning.seconds(_job(_FRESH, _MEMORY, _EPOCHS), first=False)
    ) / _TASKS
    what = f"jobs, {workers} worker{'s' if workers > 1 else ''}"
    cores = len(os.sched_getaffinity(0))
    yield Check(
        what,
        "1/h",
        learning.jobs_per_hour(seconds, workers, cores, _CLASSIFIERS),
        len(jobs) * 3600 / (ended - begun).total_seconds(),
    )
    if workers > 1:
        return  # the bytes are the same
    versions = [_CLASSES * (task + 1) for task in range(_TASKS)] * _CLASSIFIERS
    yield Check(
        "images and tensors",
        "MB",
        storage.blobs(sent, versions) / 1e6,
        (bench.blobs() - blobs) / 1e6,
    )
    yield Check(
        "database",
        "MB",
        storage.database(_FRESH * len(jobs), len(jobs)) / 1e6,
        (bench.rows() - rows) / 1e6,
    )


@contextmanager
def _second_worker(data_dir: Path) -> Iterator[None]:
    environment = os.environ | _SETTINGS | {"ACCRUE_DATA_DIR": str(data_dir)}
    with (data_dir / "second.log").open("w") as log:
        worker = subprocess.Popen([sys.executable, "-m", "worker"], env=environment, stderr=log)
    try:
        with sqlite3.connect(data_dir / "accrue.db") as connection:
            while connection.execute("SELECT count(*) FROM workers").fetchone()[0] < 2:
                time.sleep(0.1)
        yield
    finally:
        worker.terminate()
        worker.wait()


def _job(images: int, exemplars: int, epochs: int) -> LearningJob:
    held_out = images // _CLASSES // 10 * _CLASSES  # the default validation_fraction
    return LearningJob(images - held_out, exemplars, held_out, epochs)


def _seconds(job: dict[str, Any]) -> float:
    return (_at(job, "finished_at") - _at(job, "created_at")).total_seconds()


def _at(job: dict[str, Any], name: str) -> datetime:
    return datetime.fromisoformat(job[name])
