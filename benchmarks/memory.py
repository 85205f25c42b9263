"""What many classifiers cost an API process, measured on a real one.

    python -m benchmarks.memory

Creates classifiers with live versions in an SQLite database, without training, and starts
`accrue serve` on it. Measures its memory and CPU time while it is idle, and its memory while it
predicts with more classifiers in turn than its model memory holds. Prints a table and writes
benchmarks/results/memory.json. Takes two minutes.
"""

import io
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import torch
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert

import migrations
from app.db.engine import Database
from app.db.repositories import blobs as blob_rows
from app.db.tables import Alias, Classifier, Version, VersionClass, VersionPart
from app.processes import die_with_parent
from app.services.classifiers.spec import ClassifierSpec
from app.services.upkeep.housekeeper import Housekeeper
from app.settings import Settings
from app.storage import open_store
from models import methods, networks
from models.preprocess import Preprocess
from models.state import encode

RESULTS = Path(__file__).parent / "results" / "memory.json"
CLASSIFIERS = 5000
CLASSES = 10
IDLE_SECONDS = 60
# Of classifiers that are asked in turn, and how many of their versions the model memory holds.
ASKED, HELD, ROUNDS = 50, 10, 6
BACKBONE = "resnet32"
# What one version takes: tensors and modules.
VERSION_BYTES = 2_150_000
PORT = 8797
URL = f"http://127.0.0.1:{PORT}"


def main() -> None:
    """Measure, print and write."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder))
        create(settings, CLASSIFIERS)
        budget = HELD * VERSION_BYTES
        with serving(settings, budget) as process:
            found = {"idle": idle(process), "in_turn": in_turn(process, budget)}
    result = {
        "machine": platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "torch": torch.__version__,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        **found,
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


def create(settings: Settings, count: int) -> None:
    """Create classifiers that all serve equal tensors, stored once."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    migrations.upgrade(settings.database_url)
    store = open_store(settings.storage_url)
    spec = ClassifierSpec.model_validate(
        {"name": "template", "method": "finetune", "backbone": BACKBONE, "image_size": 32}
    )
    trained = methods.validate(spec.for_training()).model_dump(mode="json")
    parts = {name: encode(part) for name, part in tensors().items()}
    hashes = {name: store.put(content) for name, content in parts.items()}
    now = datetime.now(UTC)
    numbers = range(count)
    rows: dict[Any, list[dict[str, Any]]] = {
        Classifier: [
            {
                "id": f"cls_{number:05}",
                "name": f"classifier-{number:05}",
                "spec": {**spec.model_dump(mode="json"), "name": f"classifier-{number:05}"},
                "last_version": 1,
                "kept_revision": 1,
                "created_at": now,
            }
            for number in numbers
        ],
        Version: [
            {
                "id": f"ver_{number:05}",
                "classifier_id": f"cls_{number:05}",
                "number": 1,
                "method": "finetune",
                "spec": trained,
                "metrics": {},
                "memory": {},
                "created_at": now,
            }
            for number in numbers
        ],
        VersionPart: [
            {"version_id": f"ver_{number:05}", "name": name, "sha256": sha256}
            for number in numbers
            for name, sha256 in hashes.items()
        ],
        VersionClass: [
            {
                "version_id": f"ver_{number:05}",
                "index": index,
                "label": f"class {index}",
                "task": 0,
                "train_images": 1,
            }
            for number in numbers
            for index in range(CLASSES)
        ],
        Alias: [
            {
                "classifier_id": f"cls_{number:05}",
                "name": "live",
                "version_id": f"ver_{number:05}",
                "updated_at": now,
            }
            for number in numbers
        ],
    }
    database = Database(settings.database_url)
    with database.transaction() as session:
        blob_rows.record(session, {hashes[name]: len(parts[name]) for name in parts}, now)
        for table, values in rows.items():
            session.execute(insert(table), values)
    # The first sweep writes manifests, which classifiers made by requests have already.
    Housekeeper(database, store, settings).tick()
    database.close()


def tensors() -> dict[str, dict[str, torch.Tensor]]:
    """Return the parts of a version with random weights."""
    network = networks.build(BACKBONE, 1)
    network.head.grow(0, CLASSES, 1)
    return {
        "backbone": network.backbone.state_dict(),
        "head.0": network.head.blocks["0"].state_dict(),
        "preprocess": Preprocess(torch.full((3,), 0.5), torch.full((3,), 0.25)).state(),
    }


@contextmanager
def serving(settings: Settings, budget: int) -> Iterator[psutil.Process]:
    """Run `accrue serve` while the block lasts."""
    environment = {
        **os.environ,
        "ACCRUE_DATA_DIR": str(settings.data_dir),
        "ACCRUE_PORT": str(PORT),
        "ACCRUE_MODEL_MEMORY": str(budget),
    }
    started = subprocess.Popen(
        [sys.executable, "-m", "app.cli", "serve"],
        env=environment,
        # No thread runs here, so code before exec is safe.
        preexec_fn=partial(die_with_parent, os.getpid(), signal.SIGTERM),  # noqa: PLW1509
    )
    try:
        deadline = time.monotonic() + 120
        time.sleep(1)  # it ends at once where the port is taken
        while not ready():
            if started.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("accrue serve does not start")
            time.sleep(0.1)
        yield psutil.Process(started.pid)
    finally:
        started.terminate()
        started.wait(60)


def ready() -> bool:
    """Say whether the server is ready."""
    try:
        return httpx.get(f"{URL}/health/ready", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def idle(process: psutil.Process) -> dict[str, Any]:
    """Return memory and CPU of the server while nothing is asked of it."""
    time.sleep(10)  # what follows a start
    before = cpu_seconds(process)
    time.sleep(IDLE_SECONDS)
    used = cpu_seconds(process) - before
    found = {
        "classifiers": CLASSIFIERS,
        "core_per_cent": round(100 * used / IDLE_SECONDS, 2),
        **memory(process),
    }
    sys.stdout.write(f"{found}\n")
    return found


def in_turn(process: psutil.Process, budget: int) -> dict[str, Any]:
    """Return the memory of the server while it predicts with many classifiers in turn."""
    written = io.BytesIO()
    Image.new("RGB", (32, 32)).save(written, "png")
    image = written.getvalue()
    rounds, most = [], 0.0
    with httpx.Client(base_url=URL, timeout=60) as client:
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            for number in range(ASKED):
                answer = client.post(
                    f"/v1/classifiers/classifier-{number:05}/predict",
                    content=image,
                    headers={"content-type": "image/png"},
                )
                answer.raise_for_status()
                if number % HELD == 0:
                    most = max(most, metric(client, "accrue_model_memory_bytes"))
            rounds.append({"seconds": round(time.perf_counter() - begun, 2), **memory(process)})
        return {
            "classifiers": ASKED,
            "budget_bytes": budget,
            "most_bytes": int(most),
            "loaded": int(metric(client, "accrue_loaded_versions")),
            "evictions": int(metric(client, "accrue_version_evictions_total")),
            "rounds": rounds,
        }


def metric(client: httpx.Client, name: str) -> float:
    """Return a metric without labels."""
    for family in text_string_to_metric_families(client.get("/metrics").text):
        for sample in family.samples:
            if sample.name == name:
                return sample.value
    raise KeyError(name)


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU seconds that the process has used."""
    times = process.cpu_times()
    return float(times.user + times.system)


def memory(process: psutil.Process) -> dict[str, float]:
    """Return resident megabytes: all, and without what is read from files (libraries)."""
    found = process.memory_info()
    return {
        "resident_megabytes": round(found.rss / 1e6),
        "anonymous_megabytes": round((found.rss - found.shared) / 1e6),
    }


if __name__ == "__main__":
    main()
