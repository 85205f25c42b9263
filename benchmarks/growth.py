"""What the n-th learning step takes as classes grow: time, storage and memory.

    python -m benchmarks.growth                 # 100 tasks of 10 classes, each method
    python -m benchmarks.growth --tasks 20      # a shorter course, which writes nothing

Teaches over HTTP, with images of 8 pixels and a small network, so that what grows is what the
service does around the training. Writes benchmarks/results/growth.json and, where matplotlib is
installed, docs/images/growth.png.
"""

import argparse
import io
import statistics
import tempfile
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image
from rich.console import Console
from rich.table import Table

from app.client.client import Client
from app.client.jobs import FINAL_STATES, require_success
from app.demo.server import running_service
from benchmarks import runner
from benchmarks.footprint import find, high_water

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "growth.png"
CLASSES, IMAGES, PIXELS = 10, 5, 8  # of a task, of a class, a side
SPECS: dict[str, dict[str, Any]] = {
    # As many exemplars as there are classes at the end, the least that can be.
    "icarl": {
        "method": "icarl",
        "backbone": "convnet",
        "image_size": PIXELS,
        "options": {"epochs": 1},
        "memory": {"exemplars": 1000},
    },
    "analytic": {
        "method": "analytic",
        "backbone": "efficientnet_lite0",
        "weights": "DEFAULT",
        "image_size": 32,
    },
}
SETTINGS = {"ACCRUE_TRAIN_THREADS": "1", "OMP_NUM_THREADS": "1", "ACCRUE_LOG_LEVEL": "warning"}
_POLL_SECONDS = 0.03


@dataclass
class Step:
    """What a learning step took: CPU seconds by phase, bytes of database, version and memory."""

    classes: int
    seconds: float = 0.0
    cpu: dict[str, float] = field(default_factory=dict)
    database_bytes: int = 0
    new_bytes: int = 0
    peak_bytes: int = 0

    @property
    def cpu_seconds(self) -> float:
        """CPU seconds of the whole job's process."""
        return sum(self.cpu.values())


def main() -> None:
    """Teach, print, write and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100)
    tasks = parser.parse_args().tasks
    found: dict[str, list[Step]] = {}
    for method, spec in SPECS.items():
        with (
            tempfile.TemporaryDirectory() as folder,
            running_service(Path(folder), **SETTINGS) as url,
            Client(url) as client,
        ):
            client.post("/v1/classifiers", {"name": method, **spec})
            database = Path(folder) / "accrue.db"
            steps = found.setdefault(method, [])
            for task in range(tasks):
                steps.append(teach(client, method, task, database))
                print(method, steps[-1], flush=True)
    report(found)
    if tasks >= 100:
        write(found)
        draw(found)


def teach(client: Client, name: str, task: int, database: Path) -> Step:
    """Teach a task, and return what that took."""
    step = Step((task + 1) * CLASSES)
    kind = {"Content-Type": "application/zip"}
    upload = client.post_bytes("/v1/uploads", archive(task), kind)["id"]
    started = time.monotonic()
    job = client.post(f"/v1/classifiers/{name}/jobs", {"kind": "learn", "uploads": [upload]})
    cpu: dict[str, float] = defaultdict(float)
    process: psutil.Process | None = None
    before = 0.0
    while (job := client.get(f"/v1/jobs/{job['id']}"))["state"] not in FINAL_STATES:
        process = process or find(job["id"])
        if process is not None:
            try:
                spent = sum(process.cpu_times()[:2])
                step.peak_bytes = high_water(process.pid)
            except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
                continue  # it has ended meanwhile
            cpu[job["phase"] or "preparing"] += spent - before
            before = spent
        time.sleep(_POLL_SECONDS)
    require_success(job)
    step.seconds = time.monotonic() - started
    step.cpu = dict(cpu)
    version = client.get(f"/v1/classifiers/{name}/versions/{job['version']}")
    step.new_bytes = version["new_bytes"]
    step.database_bytes = sum(
        path.stat().st_size for path in database.parent.glob(f"{database.name}*")
    )
    return step


def archive(task: int) -> bytes:
    """Return a zip of a task's classes: each has a pattern, and each image noise of its own."""
    draw = np.random.default_rng(task)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        for label in range(CLASSES):
            pattern = draw.integers(40, 216, (PIXELS, PIXELS, 3))
            for number in range(IMAGES):
                noisy = pattern + draw.integers(-30, 30, pattern.shape)
                file = io.BytesIO()
                Image.fromarray(noisy.astype(np.uint8)).save(file, "PNG")
                zipped.writestr(f"{task:03}.{label}/{number}.png", file.getvalue())
    return buffer.getvalue()


def report(found: dict[str, list[Step]]) -> None:
    """Print a row for every tenth step."""
    table = Table(box=None, header_style="dim", pad_edge=False)
    for column in ("method", "classes", "CPU s", "by phase", "database MB", "new kB", "peak MB"):
        table.add_column(column, justify="right")
    for method, steps in found.items():
        for step in steps[:: max(len(steps) // 10, 1)] + steps[-1:]:
            phases = ", ".join(f"{name} {spent:.2f}" for name, spent in step.cpu.items())
            table.add_row(
                method,
                str(step.classes),
                f"{step.cpu_seconds:.2f}",
                phases,
                f"{step.database_bytes / 1e6:.1f}",
                f"{step.new_bytes / 1e3:.0f}",
                f"{step.peak_bytes / 1e6:.0f}",
            )
    Console(width=160).print(table)


def write(found: dict[str, list[Step]]) -> None:
    """Write the steps, with the machine and the commit."""
    steps = {method: [asdict(step) for step in taught] for method, taught in found.items()}
    runner.write("growth", {"steps": steps})


def medians(values: Sequence[float]) -> list[float]:
    """Return the medians of each value and the two on either side, for a quieter line."""
    return [statistics.median(values[max(at - 2, 0) : at + 3]) for at in range(len(values))]


def draw(found: dict[str, list[Step]]) -> None:
    """Draw CPU time, database and memory over the number of classes."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - of an extra

    figure = Figure(figsize=(12, 3.6), layout="constrained", dpi=130)
    panels: dict[str, Callable[[Step], float]] = {
        "CPU seconds of a step": lambda step: step.cpu_seconds,
        "database, MB": lambda step: step.database_bytes / 1e6,
        "new tensors of a step, kB": lambda step: step.new_bytes / 1e3,
        "peak memory of a step, MB": lambda step: step.peak_bytes / 1e6,
    }
    for axes, (title, value) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        for method, steps in found.items():
            classes = [step.classes for step in steps]
            axes.plot(
                classes, medians([value(step) for step in steps]), linewidth=1.4, label=method
            )
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("classes")
        if title.startswith("new tensors"):
            axes.set_yscale("log")  # the first version of a pretrained network has its weights
        else:
            axes.set_ylim(bottom=0)
        axes.grid(alpha=0.25)
    figure.axes[0].legend(frameon=False)
    figure.savefig(PICTURE)


if __name__ == "__main__":
    main()
