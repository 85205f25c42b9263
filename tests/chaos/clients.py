"""Clients that repeat a request under its idempotency key until it is answered."""

import io
import itertools
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

import httpx

from tests.worker.harness import Pictures

FINAL = ("succeeded", "failed", "cancelled")
# With the options that make them short, besides `epochs`.
METHODS: dict[str, dict[str, int]] = {
    "icarl": {},
    "finetune": {},
    "lwf": {},
    "mas": {},
    "packnet": {"retrain_epochs": 1},
    "piggyback": {"base_epochs": 1},
}
_LOOK_SECONDS = 0.2
_PATIENCE_SECONDS = 240.0
_SMALL = {
    "backbone": "convnet",
    "image_size": 8,
    "memory": {"exemplars": 200},
    "augment": {"crop": 0, "flip": False},
    "validation_fraction": 0.2,
}


class Tally:
    """What all clients of a run have seen. Several threads write to it."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.violations: list[str] = []
        self.jobs: dict[str, str] = {}  # id to classifier
        self.uploads: set[str] = set()
        self.lock = threading.Lock()

    def count(self, name: str, by: int = 1) -> None:
        with self.lock:
            self.counts[name] += by

    def violate(self, what: str) -> None:
        with self.lock:
            self.violations.append(what)


class Http:
    """Repeats requests, at one API process after another, until one answers."""

    def __init__(self, urls: Sequence[str], tally: Tally) -> None:
        self._urls = itertools.cycle(urls)
        self._tally = tally
        self._http = httpx.Client(timeout=30)

    def close(self) -> None:
        self._http.close()

    def get(self, path: str) -> httpx.Response:
        return self.request("GET", path)

    def post(self, path: str, key: str, body: Any) -> httpx.Response:
        """Post JSON, or the bytes of a zip file, under an Idempotency-Key."""
        headers = {"Idempotency-Key": key}
        if isinstance(body, bytes):
            headers["Content-Type"] = "application/zip"
            return self.request("POST", path, headers=headers, content=body)
        return self.request("POST", path, headers=headers, json=body)

    def request(self, method: str, path: str, **what: Any) -> httpx.Response:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            url = next(self._urls)
            try:
                answer = self._http.request(method, f"{url}{path}", **what)
            except httpx.TransportError as error:
                self._tally.count(f"requests repeated after {type(error).__name__}")
            else:
                if not self._to_be_repeated(answer):
                    if "idempotency-replayed" in answer.headers:
                        self._tally.count("answers replayed")
                    return answer
            time.sleep(_LOOK_SECONDS)
        raise AssertionError(f"{method} {path} had no answer in {_PATIENCE_SECONDS:g} s")

    def _to_be_repeated(self, answer: httpx.Response) -> bool:
        if answer.status_code < 500 and answer.status_code != 409:
            return False
        code = answer.json()["code"]
        if answer.status_code == 409:
            if code == "request-in-progress":
                self._tally.count(f"requests repeated after {code}")
            return bool(code == "request-in-progress")
        if answer.status_code == 503:
            self._tally.count(f"requests repeated after 503 {code}")
        else:
            request = answer.request
            self._tally.violate(f"{request.method} {request.url}: {answer.status_code} {code}")
        return True


class ChaosClient:
    """Owns a classifier, teaches it, makes it forget, and cancels or retries jobs."""

    def __init__(
        self, name: str, method: str, urls: Sequence[str], tally: Tally, *, jobs: int, seed: int
    ) -> None:
        """It has `jobs` jobs accepted."""
        self.name = name
        self._method, self._jobs, self._tally = method, jobs, tally
        self._draw = Random(f"{seed} {name}")
        self._http = Http(urls, tally)
        self._keys = itertools.count()
        self._labels = itertools.count()
        self._accepted: list[str] = []
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._create()
            open_jobs: list[str] = []
            while len(self._accepted) < self._jobs:
                open_jobs += self._ask()
                # Now and then another job is queued before this one has ended.
                if len(open_jobs) > self._draw.randint(0, 2):
                    self._see_through(open_jobs.pop(0))
            for job_id in open_jobs:
                self._see_through(job_id)
        except Exception as error:
            self._tally.violate(f"The client of {self.name} gave up: {error!r}")
        finally:
            self._http.close()

    def _key(self) -> str:
        return f"{self.name}-{next(self._keys)}"

    def _create(self) -> None:
        epochs = self._draw.randint(1, 2)
        options = {"epochs": epochs, **METHODS[self._method]}
        spec = {"name": self.name, "method": self._method, "options": options, **_SMALL}
        answer = self._http.post("/v1/classifiers", self._key(), spec)
        assert answer.status_code == 201, answer.text

    def _ask(self) -> list[str]:
        """Request a job; return its id, or None if it was refused for a good reason."""
        answer = self._draw.choices((self._learn, self._teach, self._forget), (5, 3, 2))[0]()
        if answer is None:
            return []
        if answer.status_code != 202:
            code = answer.json()["code"]
            self._tally.count(f"jobs refused: {code}")
            if code not in ("cannot-forget", "unknown-class"):
                self._tally.violate(f"{self.name}: a job was refused: {answer.text}")
            return []
        job = answer.json()
        with self._tally.lock:
            self._tally.jobs[job["id"]] = self.name
        self._accepted.append(job["id"])
        if self._draw.random() < 0.15:
            self._cancel(job["id"])
        return [job["id"]]

    def _learn(self) -> httpx.Response:
        upload = self._http.post("/v1/uploads", self._key(), self._archive())
        assert upload.status_code == 201, upload.text
        with self._tally.lock:
            self._tally.uploads.add(upload.json()["id"])
        # Some train long enough to be met while they do.
        options = {"epochs": 40} if self._draw.random() < 0.4 else {}
        body = {"kind": "learn", "uploads": [upload.json()["id"]], "options": options}
        return self._http.post(f"/v1/classifiers/{self.name}/jobs", self._key(), body)

    def _teach(self) -> httpx.Response:
        path = f"/v1/classifiers/{self.name}/learn"
        answer = self._http.post(path, self._key(), self._archive())
        if answer.status_code == 202:
            with self._tally.lock:
                self._tally.uploads.update(answer.json()["uploads"])
        return answer

    def _forget(self) -> httpx.Response | None:
        live = self._http.get(f"/v1/classifiers/{self.name}/versions/live")
        if live.status_code != 200:
            return None
        labels = [known["label"] for known in live.json()["classes"]]
        if len(labels) < 4:
            return None
        body = {
            "kind": "forget",
            "classes": self._draw.sample(labels, 1),
            "purge": self._draw.random() < 0.3,
        }
        return self._http.post(f"/v1/classifiers/{self.name}/jobs", self._key(), body)

    def _archive(self) -> bytes:
        labels = [f"{self.name}-{next(self._labels)}" for _ in range(2)]
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for item in Pictures(labels, 8).items(None):  # type: ignore[arg-type]
                archive.writestr(item.name, item.data)
        return buffer.getvalue()

    def _cancel(self, job_id: str) -> None:
        time.sleep(self._draw.random() * 2)
        answer = self._http.request("POST", f"/v1/jobs/{job_id}/cancel")
        if answer.status_code in (200, 202):
            self._tally.count("cancels accepted")
        elif answer.json()["code"] != "job-finished":
            self._tally.violate(f"{self.name}: a cancel was answered {answer.text}")

    def _see_through(self, job_id: str) -> None:
        """Wait for the end of a job; sometimes retry one that did not succeed, twice at most."""
        for _ in range(3):
            job = self._end_of(job_id)
            may = job["state"] == "cancelled" or (job["error"] or {}).get("retryable")
            if not may or self._draw.random() < 0.3:
                return
            answer = self._http.post(f"/v1/jobs/{job_id}/retry", self._key(), None)
            if answer.status_code == 202:
                self._tally.count("retries accepted")
            elif answer.json()["code"] != "job-not-retryable":
                self._tally.violate(f"{self.name}: a retry was answered {answer.text}")
        self._end_of(job_id)

    def _end_of(self, job_id: str) -> dict[str, Any]:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            answer = self._http.get(f"/v1/jobs/{job_id}")
            assert answer.status_code == 200, f"{job_id}: {answer.text}"
            job: dict[str, Any] = answer.json()
            if job["state"] in FINAL:
                return job
            assert time.monotonic() < deadline, f"{job_id} is still {job['state']}"
            time.sleep(_LOOK_SECONDS)
