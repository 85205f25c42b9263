"""`accrue up` as a real process, and the digits to feed it with."""

import io
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

T = TypeVar("T")

ACCRUE = [sys.executable, "-P", "-m", "app.cli"]
# A network that learns digits in a second or so.
SMALL = {
    "method": "icarl",
    "backbone": "convnet",
    "image_size": 8,
    "memory": {"exemplars": 40},
    "augment": {"flip": False},
    "validation_fraction": 0,
    "options": {"epochs": 3},
}


def wait_for(what: Callable[[], T | None], seconds: float = 120) -> T:
    """Poll until an answer is truthy, and return it. The limit ends a test that hangs."""
    deadline = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(0.05)
    return answer


def gone(processes: Iterable[psutil.Process]) -> bool:
    """Return whether all have ended, or are zombies that their new parent has not reaped."""

    def ended(process: psutil.Process) -> bool:
        try:
            return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    return all(ended(process) for process in processes)


class ServiceClient:
    """The steps of tests, over HTTP, on a running service.

    `patience` ends a test that hangs: seconds to wait for a job, or for an alias to be followed.
    """

    http: httpx.Client
    patience: float = 120

    def create(self, name: str, **settings: Any) -> None:
        answer = self.http.post("/v1/classifiers", json={"name": name, **SMALL, **settings})
        assert answer.status_code == 201, answer.text

    def upload(self, archive: bytes) -> str:
        answer = self.http.post(
            "/v1/uploads", content=archive, headers={"Content-Type": "application/zip"}
        )
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def queue(self, name: str, archive: bytes, **request: Any) -> dict[str, Any]:
        body = {"kind": "learn", "uploads": [self.upload(archive)], **request}
        answer = self.http.post(f"/v1/classifiers/{name}/jobs", json=body)
        assert answer.status_code == 202, answer.text
        assert answer.headers["Location"] == f"/v1/jobs/{answer.json()['id']}"
        return answer.json()

    def job(self, job_id: str) -> dict[str, Any]:
        return self.http.get(f"/v1/jobs/{job_id}").raise_for_status().json()

    def finished(self, job_id: str) -> dict[str, Any]:
        def final() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["state"] in ("succeeded", "failed", "cancelled") else None

        return wait_for(final, self.patience)

    def learn(self, name: str, archive: bytes, **request: Any) -> int:
        """Learn to the end and return the number of the new version."""
        job = self.finished(self.queue(name, archive, **request)["id"])
        assert job["state"] == "succeeded", job
        return job["version"]

    def predict(self, name: str, image: bytes, **query: Any) -> dict[str, Any]:
        answer = self.http.post(
            f"/v1/classifiers/{name}/predict",
            content=image,
            headers={"Content-Type": "image/png"},
            params=query,
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def predict_by(self, name: str, version: int, image: bytes) -> dict[str, Any]:
        """Poll `live` until it serves that version, which takes up to a second."""

        def answer() -> dict[str, Any] | None:
            got = self.predict(name, image)
            return got if got["version"] == version else None

        return wait_for(answer, self.patience)


class Service(ServiceClient):
    """One `accrue up` over a data folder. Close it, or kill it."""

    def __init__(self, data_dir: Path, **settings: str) -> None:
        self.data_dir = data_dir
        self.log = data_dir.with_suffix(".log")
        self.settings = settings
        threads = {"ACCRUE_TRAIN_THREADS": "1", "ACCRUE_INFERENCE_THREADS": "1"}
        environment = os.environ | threads | settings
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [*ACCRUE, "up", "--port", "0", "--data-dir", str(data_dir)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        announced = re.search(r"listens on (\S+)", self.process.stdout.readline())
        assert announced, self.log.read_text()
        self.url = announced[1]
        # A connection that is kept may be closed just as the next request is sent.
        fresh = httpx.Limits(max_keepalive_connections=0)
        self.http = httpx.Client(base_url=self.url, timeout=60, limits=fresh)

    def child(self, title: str) -> psutil.Process | None:
        """The descendant of `accrue up` with this title, if there is one."""
        for process in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if " ".join(process.cmdline()).strip() == title:
                    return process
            except psutil.NoSuchProcess:
                continue
        return None

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait for the end and return the exit status."""
        self.http.close()
        self.process.send_signal(number)
        try:
            return self.process.wait(60)
        finally:
            assert self.process.stdout is not None
            self.process.stdout.close()


class Digits:
    """The digits in a folder as {train,test}/label/*.png, and parts of it as zip files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def images(self, label: int, split: str = "train") -> list[Path]:
        return sorted((self.folder / split / str(label)).iterdir())

    def held_out(self, label: int) -> bytes:
        return self.images(label, "test")[0].read_bytes()

    def zip(self, labels: Iterable[int], train: int = 40, test: int = 10) -> bytes:
        """Both splits of some classes, with the same number of images of each."""
        return zip_of(
            {
                f"{split}/{label}/{path.name}": path.read_bytes()
                for split, count in (("train", train), ("test", test))
                for label in labels
                for path in self.images(label, split)[:count]
            }
        )


def zip_of(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()
