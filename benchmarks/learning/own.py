"""The work as jobs of `accrue up`, and the CPU time of its worker from accepted to live."""

import io
import tempfile
import time
import zipfile
from pathlib import Path

import psutil
from PIL import Image

from app.client.client import Client
from app.client.jobs import FINAL_STATES, require_success
from app.demo.server import running_service
from benchmarks.learning.work import Images, Pixels, Work

SETTINGS = {"ACCRUE_TRAIN_THREADS": "1", "OMP_NUM_THREADS": "1", "ACCRUE_LOG_LEVEL": "warning"}
_POLL_SECONDS = 0.1


def learn(work: Work, images: Images) -> tuple[float, list[float]]:
    """Return the CPU seconds of all jobs, and the accuracy over all classes after each."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_service(Path(folder), **SETTINGS) as url,
        Client(url) as client,
    ):
        spec = {
            "name": "learning",
            "method": "icarl",
            "backbone": "resnet32",
            "image_size": 32,
            "validation_fraction": 0.0,
            "memory": {"exemplars": work.exemplars},
            "options": {"epochs": work.epochs, "batch_size": work.batch},
            "seed": work.seed,
        }
        client.post("/v1/classifiers", spec)
        uploads = [archived(client, images, classes) for classes in work.in_tasks()]
        worker = the_worker()
        before = cpu_of(worker)
        accuracies = []
        for upload in uploads:
            body = {"kind": "learn", "uploads": [upload]}
            job = client.post("/v1/classifiers/learning/jobs", body)
            while job["state"] not in FINAL_STATES:
                time.sleep(_POLL_SECONDS)
                job = client.get(f"/v1/jobs/{job['id']}")
            version = require_success(job)["version"]
            found = client.get(f"/v1/classifiers/learning/versions/{version}")
            accuracies.append(found["metrics"]["accuracy"])
        return cpu_of(worker) - before, accuracies


def archived(client: Client, images: Images, classes: range) -> str:
    """Upload the images of classes, those to test on as held out; return the upload's id."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        for split, pixels, targets in (
            ("train", images.train_x, images.train_y),
            ("test", images.test_x, images.test_y),
        ):
            for row in (row for row, target in enumerate(targets) if target in classes):
                zipped.writestr(f"{split}/class-{targets[row]}/{row}.png", png(pixels[row]))
    headers = {"Content-Type": "application/zip"}
    upload: str = client.post_bytes("/v1/uploads", buffer.getvalue(), headers)["id"]
    return upload


def png(pixels: Pixels) -> bytes:
    """Return an image [S, S, 3] as a file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def the_worker() -> psutil.Process:
    """Return the worker of the service that this process has started."""
    for process in psutil.Process().children(recursive=True):
        if "accrue worker" in " ".join(process.cmdline()):
            return process
    raise SystemExit("no process is called accrue worker")


def cpu_of(process: psutil.Process) -> float:
    """Return the CPU seconds of a process, and of all that it has started and that has ended."""
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        try:
            total += sum(each.cpu_times()[:4])
        except psutil.NoSuchProcess:  # it counts with its parent from now on
            continue
    return total
