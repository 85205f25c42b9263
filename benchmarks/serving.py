"""What one ``POST /predict`` costs the server, against the bare forward of the same network.

Machines are shared and noisy, so what is compared is CPU time in one run: that of the API process
and its children while 32 clients keep it busy, per request, over that of an eager forward at batch
16 on one thread, per image. The version served has random weights: speed does not depend on them.

    python -m benchmarks.serving [--requests 8000] [--clients 32]

Prints a line and writes benchmarks/results/serving.json.
"""

import argparse
import asyncio
import io
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from PIL import Image

import migrations
from app.db.engine import Database
from app.db.repositories import aliases as alias_rows, blobs as blob_rows, versions as version_rows
from app.db.tables import Classifier, Version, VersionClass
from app.ids import new_id
from app.services.classifiers.classifiers import check_spec, create
from app.services.classifiers.spec import ClassifierSpec
from app.settings import Settings
from app.storage import open_store
from models import methods, networks
from models.preprocess import Preprocess
from models.serving import load_servable
from models.spec import Spec
from models.state import State, encode

CLASSES = 100
SIZE = 32
BATCH = 16
WARM_UP = 500
ROUNDS = 5
RESULTS = Path(__file__).parent / "results" / "serving.json"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=8000)
    parser.add_argument("--clients", type=int, default=32)
    options = parser.parse_args()
    body = {"name": "bench", "method": "finetune", "backbone": "resnet32", "image_size": SIZE}
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), log_level="warning")
        spec, state = publish(settings, ClassifierSpec.model_validate(body))
        before = bare(spec, state)
        served = serve(settings, options.requests, options.clients)
        # Before and after, because the speed of the machine drifts during a run.
        reference = statistics.mean((before, bare(spec, state)))
    result = {
        "what": f"resnet32 at {SIZE}x{SIZE}, {options.clients} clients, one PNG a request",
        "bare_forward_cpu_ms": round(reference, 3),
        "request_cpu_ms": round(served["cpu_ms"], 3),
        "ratio": round(served["cpu_ms"] / reference, 3),
        "requests": options.requests,
        "requests_per_second": round(served["per_second"], 1),
        "p50_ms": round(served["p50_ms"], 1),
        "p99_ms": round(served["p99_ms"], 1),
        "memory_mebibytes": round(served["memory"] / 2**20),
        "image_bytes": served["image_bytes"],
        "cores": os.cpu_count(),
        "processor": processor(),
        "torch": torch.__version__,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(
        "/predict: {request_cpu_ms} ms CPU a request, bare forward {bare_forward_cpu_ms} ms an "
        "image: ratio {ratio} ({requests_per_second} requests/s, p99 {p99_ms} ms)".format(**result)
    )


def publish(settings: Settings, wanted: ClassifierSpec) -> tuple[Spec, State]:
    """Make a classifier with one live version of random weights."""
    migrations.upgrade(settings.database_url)
    database, store = Database(settings.database_url), open_store(settings.storage_url)
    create(database, "default", wanted, on_created=lambda _session, _view: None)
    spec = check_spec(wanted)
    network = networks.build(spec.backbone, spec.seed)
    network.head.grow(0, CLASSES, spec.seed)
    kind = methods.get(spec.method)
    method = kind(
        kind.Options.model_validate(spec.options),
        network,
        Preprocess(torch.full((3,), 0.5), torch.full((3,), 0.25)),
    )
    state = State(method.state(), (0,) * CLASSES)
    data = {name: encode(part) for name, part in state.parts.items()}
    parts = {name: store.put(content) for name, content in data.items()}
    now = datetime.now(UTC)
    with database.transaction() as session:
        owner = session.query(Classifier).one()
        sizes = {parts[name]: len(content) for name, content in data.items()}
        blob_rows.record(session, sizes, now)
        version = Version(
            id=new_id("ver"),
            classifier_id=owner.id,
            number=1,
            method=spec.method,
            spec=spec.model_dump(mode="json"),
            metrics={},
            memory={},
            created_at=now,
        )
        classes = [
            VersionClass(
                version_id=version.id, index=index, label=f"class {index}", task=0, train_images=0
            )
            for index in range(CLASSES)
        ]
        version_rows.add(session, version, parts=parts, classes=classes, held_out={})
        alias_rows.point(session, owner.id, "live", version.id, now=now)
    database.close()
    return spec, state


def bare(spec: Spec, state: State) -> float:
    """Return CPU milliseconds an image of the eager forward at batch 16 on one thread."""
    torch.set_num_threads(1)
    module = load_servable(spec, state)
    images = torch.randint(0, 256, (BATCH, 3, SIZE, SIZE), dtype=torch.uint8)
    times = []
    with torch.inference_mode():
        for _ in range(10):
            module(images)
        for _ in range(ROUNDS):
            begun = time.process_time()
            for _ in range(20):
                module(images)
            times.append((time.process_time() - begun) / (20 * BATCH))
    return statistics.median(times) * 1e3


def serve(
    settings: Settings, requests: int, clients: int, *, cores: set[int] | None = None
) -> dict[str, float]:
    """Start the real server, keep it busy, and return what it cost.

    It may use the `cores` given, or all.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "ACCRUE_DATA_DIR": str(settings.data_dir),
        "ACCRUE_LOG_LEVEL": "warning",
    }
    command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port)]
    server = subprocess.Popen(command, env=environment)
    if cores is not None:
        os.sched_setaffinity(server.pid, cores)
    try:
        return asyncio.run(_load(port, server.pid, requests, clients))
    finally:
        server.terminate()
        server.wait(30)


async def _load(port: int, pid: int, requests: int, clients: int) -> dict[str, float]:
    image = picture(np.random.default_rng(0))
    head = (
        "POST /predict HTTP/1.1\r\nHost: bench\r\nContent-Type: image/png\r\n"
        f"Content-Length: {len(image)}\r\n\r\n"
    )
    message = head.encode() + image
    await _ready(port, message)
    process = psutil.Process(pid)
    await _drive(port, message, WARM_UP, clients)
    before, loop, begun = cpu_seconds(process), loop_seconds(process), time.perf_counter()
    latencies = await _drive(port, message, requests, clients)
    seconds, cpu = time.perf_counter() - begun, cpu_seconds(process) - before
    loop = loop_seconds(process) - loop
    percentiles = statistics.quantiles(latencies, n=100)
    return {
        "cpu_ms": cpu / requests * 1e3,
        "loop_ms": loop / requests * 1e3,
        "per_second": requests / seconds,
        "p50_ms": percentiles[49] * 1e3,
        "p99_ms": percentiles[98] * 1e3,
        "memory": process.memory_info().rss,
        "image_bytes": len(image),
    }


async def _ready(port: int, message: bytes) -> None:
    """Wait until the version answers."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            await _drive(port, message, 1, 1)
        except (OSError, RuntimeError, asyncio.IncompleteReadError):
            await asyncio.sleep(0.1)
        else:
            return
    raise TimeoutError("the server did not answer within a minute")


async def _drive(port: int, message: bytes, requests: int, clients: int) -> list[float]:
    """Send the message from keep-alive connections; return each request's seconds."""
    left = iter(range(requests))
    latencies: list[float] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in left:
            begun = time.perf_counter()
            writer.write(message)
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(answer.decode("latin-1"))
            fields = dict(
                line.lower().split(b": ", 1) for line in answer.split(b"\r\n")[1:] if line
            )
            await reader.readexactly(int(fields[b"content-length"]))
            latencies.append(time.perf_counter() - begun)
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return latencies


def cpu_seconds(process: psutil.Process) -> float:
    """Return user and system seconds of a process and its children so far."""
    tree = [process, *process.children(recursive=True)]
    times = [member.cpu_times() for member in tree]
    return sum(taken.user + taken.system for taken in times)


def loop_seconds(process: psutil.Process) -> float:
    """Return user and system seconds so far of the main thread, which runs the event loop."""
    (taken,) = [thread for thread in process.threads() if thread.id == process.pid]
    return float(taken.user_time + taken.system_time)


def picture(draw: np.random.Generator) -> bytes:
    """Return a PNG of a kilobyte or two, like a small photograph's."""
    coarse = draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((SIZE, SIZE), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


def processor() -> Any:
    """Return the processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
