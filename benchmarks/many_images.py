"""What an image costs in a ``POST /predict`` of 1,000 images, against the bare forward.

As in `benchmarks.serving`, what is compared is CPU time in one run: of the API process while it
answers, per image, and of an eager forward at batch 16 on one thread. Every image is another one.

    python -m benchmarks.many_images [--calls 4]

Prints a line for each form of the body and writes benchmarks/results/many_images.json.
"""

import argparse
import base64
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import numpy as np
import psutil

from app.settings import Settings
from benchmarks import runner
from benchmarks.serving.network import bare
from benchmarks.serving.own import published
from benchmarks.serving.servers import Command, free_port, running
from benchmarks.serving.workloads import SMALL, picture

IMAGES = 1000
# Seconds in which the server must answer after its start.
_STARTING = 600
# Seconds to build engines after the first call, and the CPU seconds of a second without that.
_SETTLING, _IDLE = 120, 0.1


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=4)
    calls = parser.parse_args().calls
    draw = np.random.default_rng(0)
    images = [picture(draw) for _ in range(IMAGES)]
    requests = {"form": form(images), "json": encoded(images)}
    costs: dict[str, list[float]] = {name: [] for name in requests}
    references = []
    with published(SMALL) as own, server(own.settings) as (process, http):
        for kind, body in requests.values():
            call(process, http, kind, body)
        settle(process)
        # In alternation, because the speed of the machine drifts during a run.
        for _ in range(calls):
            references.append(bare(own.spec, own.state))
            for name, (kind, body) in requests.items():
                costs[name].append(call(process, http, kind, body))
        engine = http.get("/v1/classifiers/bench/versions/1").json()["engine"]["name"]
    reference = statistics.median(references)
    image = {name: statistics.median(each) for name, each in costs.items()}
    result = {
        "what": f"{SMALL.backbone} at {SMALL.size}x{SMALL.size}, {IMAGES} PNGs a call, {calls} "
        "calls of each form",
        "engine": engine,
        "bare_forward_cpu_ms": round(reference, 3),
        "image_cpu_ms": {name: round(each, 3) for name, each in image.items()},
        "of_bare_throughput": {name: round(reference / each, 3) for name, each in image.items()},
    }
    runner.write("many_images", result)
    for name, each in image.items():
        print(
            f"{name}, {engine}: {each:.3f} ms CPU an image, bare forward {reference:.3f}: "
            f"{reference / each:.3f} of its throughput"
        )


def form(images: list[bytes]) -> tuple[str, bytes]:
    """Return the content type and the body of a form, as clients write one."""
    head = (
        '--XX\r\nContent-Disposition: form-data; name="files"; filename="{}.png"\r\n'
        "Content-Type: image/png\r\n\r\n"
    )
    parts = [head.format(number).encode() + each + b"\r\n" for number, each in enumerate(images)]
    return "multipart/form-data; boundary=XX", b"".join(parts) + b"--XX--\r\n"


def encoded(images: list[bytes]) -> tuple[str, bytes]:
    """Return the content type and the body of a JSON document."""
    body = {"images": [{"b64": base64.b64encode(each).decode()} for each in images]}
    return "application/json", json.dumps(body).encode()


@contextmanager
def server(settings: Settings) -> Iterator[tuple[psutil.Process, httpx.Client]]:
    """Start the real server; yield its process and a client once it is ready."""
    port = free_port()
    environment = {"ACCRUE_DATA_DIR": str(settings.data_dir), "ACCRUE_LOG_LEVEL": "warning"}
    arguments = [sys.executable, "-m", "app.cli", "serve", "--port", str(port)]
    with (
        tempfile.TemporaryFile() as log,
        running(Command(arguments, environment), log.fileno()) as pid,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as http,
    ):
        deadline = time.monotonic() + _STARTING
        while not _answers(http):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the server did not answer in {_STARTING} s")
            time.sleep(0.1)
        yield psutil.Process(pid), http


def settle(process: psutil.Process) -> None:
    """Wait until the server builds no engine any more."""
    deadline = time.monotonic() + _SETTLING
    while time.monotonic() < deadline:
        before = runner.cpu_seconds(process)
        time.sleep(1)
        if runner.cpu_seconds(process) - before < _IDLE:
            return


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/health/live").is_success
    except httpx.TransportError:
        return False


def call(process: psutil.Process, http: httpx.Client, kind: str, body: bytes) -> float:
    """Send one request; return the server's CPU milliseconds an image."""
    before = runner.cpu_seconds(process)
    answer = http.post("/predict", content=body, headers={"Content-Type": kind})
    taken = runner.cpu_seconds(process) - before
    results = answer.raise_for_status().json()["results"]
    if len(results) != IMAGES or any("error" in each for each in results):
        raise RuntimeError("not every image was predicted")
    return taken / IMAGES * 1e3


if __name__ == "__main__":
    main()
