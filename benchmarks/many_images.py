"""What an image costs in a ``POST /predict`` of 1,000 images, against the bare forward.

As in `benchmarks.serving`, what is compared is CPU time in one run: of the API process while it
answers, per image, and of an eager forward at batch 16 on one thread. Every image is another one.

    python -m benchmarks.many_images [--calls 4]

Prints a line for each form of the body and writes benchmarks/results/many_images.json.
"""

import argparse
import base64
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import psutil
import torch

from app.services.classifiers.spec import ClassifierSpec
from app.settings import Settings
from benchmarks.serving import SIZE, bare, cpu_seconds, picture, processor, publish

IMAGES = 1000
RESULTS = Path(__file__).parent / "results" / "many_images.json"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=4)
    calls = parser.parse_args().calls
    draw = np.random.default_rng(0)
    images = [picture(draw) for _ in range(IMAGES)]
    wanted = {"name": "bench", "method": "finetune", "backbone": "resnet32", "image_size": SIZE}
    requests = {"form": form(images), "json": encoded(images)}
    costs: dict[str, list[float]] = {name: [] for name in requests}
    references = []
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), log_level="warning")
        spec, state = publish(settings, ClassifierSpec.model_validate(wanted))
        with server(settings) as (process, http):
            # In alternation, because the speed of the machine drifts during a run.
            for number in range(calls + 1):
                reference = bare(spec, state)
                taken = {name: call(process, http, *sent) for name, sent in requests.items()}
                if number:  # the first call warms up
                    references.append(reference)
                    for name, cost in taken.items():
                        costs[name].append(cost)
    reference = statistics.median(references)
    result = {
        "what": f"resnet32 at {SIZE}x{SIZE}, {IMAGES} PNGs a call, {calls} calls of each form",
        "bare_forward_cpu_ms": round(reference, 3),
        "image_cpu_ms": {name: round(statistics.median(each), 3) for name, each in costs.items()},
        "of_bare_throughput": {
            name: round(reference / statistics.median(each), 3) for name, each in costs.items()
        },
        "cores": os.cpu_count(),
        "processor": processor(),
        "torch": torch.__version__,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    for name, each in costs.items():
        print(
            f"{name}: {statistics.median(each):.3f} ms CPU an image, bare forward {reference:.3f}: "
            f"{reference / statistics.median(each):.3f} of its throughput"
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
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "ACCRUE_DATA_DIR": str(settings.data_dir),
        "ACCRUE_LOG_LEVEL": "warning",
    }
    command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port)]
    with (
        subprocess.Popen(command, env=environment) as started,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as http,
    ):
        try:
            deadline = time.monotonic() + 60
            while not _answers(http):
                if time.monotonic() > deadline:
                    raise TimeoutError("the server did not answer within a minute")
                time.sleep(0.1)
            yield psutil.Process(started.pid), http
        finally:
            started.terminate()


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/health/live").is_success
    except httpx.TransportError:
        return False


def call(process: psutil.Process, http: httpx.Client, kind: str, body: bytes) -> float:
    """Send one request; return the server's CPU milliseconds an image."""
    before = cpu_seconds(process)
    answer = http.post("/predict", content=body, headers={"Content-Type": kind})
    taken = cpu_seconds(process) - before
    results = answer.raise_for_status().json()["results"]
    if len(results) != IMAGES or any("error" in each for each in results):
        raise RuntimeError("not every image was predicted")
    return taken / IMAGES * 1e3


if __name__ == "__main__":
    main()
