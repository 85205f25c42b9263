"""What a learning step takes: peak memory, and CPU time for a pass over the images.

    python -m benchmarks.footprint

Teaches two tasks over HTTP for each row and measures the second, which has a network to hold on
to. Prints a table and writes benchmarks/results/footprint.json. CPU time is given as a ratio to a
bare optimizer step of resnet32, measured before and after all rows: it also holds on a machine that
does other work.
"""

import io
import json
import os
import platform
import statistics
import tempfile
import time
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from app.client.client import Client
from app.client.jobs import FINAL_STATES, require_success
from app.demo.server import running_service
from benchmarks.runner import processor
from benchmarks.training import BATCH, STEPS, bare_loop, cpu_per_image

RESULTS = Path(__file__).parent / "results" / "footprint.json"
CLASSES = 4  # of a task
FIRST = 40  # images of the first task
EPOCHS = 1
SETTINGS = {"ACCRUE_TRAIN_THREADS": "1", "OMP_NUM_THREADS": "1", "ACCRUE_LOG_LEVEL": "warning"}
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Row:
    """A learning step: `images` new ones, of a side of `image_size` pixels."""

    method: str
    backbone: str
    image_size: int
    images: int
    exemplars: int = 0

    @property
    def trained(self) -> int:
        """Images that an epoch passes over: new ones, and old ones that are kept."""
        kept = trained(FIRST) if self.method == "joint" else self.exemplars
        return trained(self.images) + min(kept, trained(FIRST))

    def spec(self, name: str) -> dict[str, Any]:
        """Return the body that makes its classifier."""
        epochs = {
            "packnet": {"epochs": EPOCHS, "retrain_epochs": 1},
            "piggyback": {"epochs": EPOCHS, "base_epochs": EPOCHS},
        }
        body = {"name": name, "method": self.method, "backbone": self.backbone}
        options = epochs.get(self.method, {"epochs": EPOCHS})
        memory = {"memory": {"exemplars": self.exemplars}} if self.exemplars else {}
        return body | {"image_size": self.image_size, "options": options} | memory


def trained(images: int) -> int:
    """Return how many images of a task are left when the tenth that is held out is taken off."""
    return images - images // CLASSES // 10 * CLASSES


ROWS = (
    Row("icarl", "convnet", 8, 200, 40),
    Row("icarl", "resnet32", 32, 200, 40),
    Row("icarl", "resnet32", 32, 800, 40),
    Row("icarl", "resnet32", 64, 200, 40),
    Row("lwf", "resnet32", 32, 200),
    Row("mas", "resnet32", 32, 200),
    Row("packnet", "resnet32", 32, 200),
    Row("piggyback", "resnet32", 32, 200),
    Row("joint", "resnet32", 32, 200),
    Row("icarl", "resnet18", 224, 40, 40),
)


@dataclass(frozen=True)
class Footprint:
    """What a step took: bytes at its peak, and CPU seconds of its training."""

    peak_bytes: int
    training_seconds: float


def main() -> None:
    """Measure, print and write."""
    torch.set_num_threads(1)
    bare = bare_loop(bf16=False, channels_last=False)
    bare()  # warms up
    steps = [cpu_per_image(bare, STEPS * BATCH)]
    results = []
    with (
        tempfile.TemporaryDirectory() as folder,
        running_service(Path(folder), **SETTINGS) as url,
        Client(url) as client,
    ):
        for number, row in enumerate(ROWS):
            results.append((row, measure(client, f"footprint-{number}", row)))
            print(*results[-1], flush=True)
        beside = proportional_bytes()
    steps.append(cpu_per_image(bare, STEPS * BATCH))
    report(results, steps, beside)


def measure(client: Client, name: str, row: Row) -> Footprint:
    """Teach a classifier two tasks, and return what the second took."""
    client.post("/v1/classifiers", row.spec(name))
    for task, images in enumerate((FIRST, row.images)):
        headers = {"Content-Type": "application/zip"}
        upload = client.post_bytes("/v1/uploads", archive(row.image_size, images, task), headers)[
            "id"
        ]
        job = client.post(f"/v1/classifiers/{name}/jobs", {"kind": "learn", "uploads": [upload]})
        found = watch(client, job["id"])
    return found


def archive(size: int, images: int, task: int) -> bytes:
    """Return a zip of new noise for each class of a task, coarse as photographs are."""
    draw = np.random.default_rng([size, images, task])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        for number in range(images):
            coarse = draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            image = Image.fromarray(coarse).resize((size, size))
            file = io.BytesIO()
            image.save(file, "PNG")
            label = f"{task}.{number % CLASSES}"
            zipped.writestr(f"train/{label}/{number}.png", file.getvalue())
    return buffer.getvalue()


def watch(client: Client, job_id: str) -> Footprint:
    """Follow a job to its end and read what the kernel counts of its process."""
    peak, cpu, began, training = 0, 0.0, 0.0, 0.0
    process: psutil.Process | None = None
    while (job := client.get(f"/v1/jobs/{job_id}"))["state"] not in FINAL_STATES:
        process = process or find(job_id)
        if process is not None:
            try:
                peak, cpu = high_water(process.pid), sum(process.cpu_times()[:2])
            except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
                continue  # it has ended meanwhile
        if job["phase"] == "preparing":
            began = cpu
        elif job["phase"] == "training":
            training = cpu - began
        time.sleep(_POLL_SECONDS)
    require_success(job)
    return Footprint(peak, training)


def find(job_id: str) -> psutil.Process | None:
    """Return the training process of a job, which names itself after it."""
    for process in psutil.process_iter(["cmdline"]):
        if f"accrue job {job_id}" in " ".join(process.info["cmdline"] or ()):
            return process
    return None


def high_water(pid: int) -> int:
    """Return the largest number of bytes that a process had in memory (VmHWM)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(pid)  # a process that has ended has no memory


def proportional_bytes() -> int:
    """Return the memory of the service without a job; shared pages count once."""
    children = psutil.Process().children(recursive=True)
    return sum(process.memory_full_info().pss for process in children)


def report(results: Sequence[tuple[Row, Footprint]], steps: Sequence[float], beside: int) -> None:
    """Print the rows, and write them to a file. `steps` are milliseconds of a bare step."""
    table = Table("method", "backbone", "pixels", "images", "peak, MB", "pass, in bare steps")
    written = []
    for row, found in results:
        milliseconds = 1000 * found.training_seconds / (EPOCHS * row.trained)
        ratio = round(milliseconds / statistics.mean(steps), 2)
        shown = (row.method, row.backbone, row.image_size, row.images, found.peak_bytes // 10**6)
        table.add_row(*map(str, (*shown, ratio)))
        written.append(asdict(row) | asdict(found) | {"bare_steps": ratio})
    Console().print(table)
    print(f"The service beside it, without a job: {beside // 10**6} MB.")
    machine = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    document = {"machine": machine, "service_bytes": beside, "bare_step_ms": steps, "rows": written}
    RESULTS.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
