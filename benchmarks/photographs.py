"""What users wait for who teach photographs to a classifier made by name alone.

    ACCRUE_DATASETS=… python -m benchmarks.photographs

Five classes of 100 photographs of Caltech-101 are uploaded and learnt (each class has two of its
things, which have fewer). Then the label of one photograph is corrected, and a class is forgotten.
Gives seconds, and CPU seconds of all processes of the service, which trains with one thread.
Writes benchmarks/results/photographs.json. Run it on an idle machine.
"""

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from app.client.client import Client
from app.client.folder import find_images
from app.client.uploads import send_images
from app.demo.server import running_service
from benchmarks.datasets import load_module
from benchmarks.overheads import first_answer, wait

RESULTS = Path(__file__).parent / "results" / "photographs.json"
CLASSES, IMAGES = 5, 100
ROUNDS = 3
ONE_THREAD = {"ACCRUE_TRAIN_THREADS": "1", "OMP_NUM_THREADS": "1"}
# What is done, and what it may take.
GOALS = {
    "upload and learn 5 × 100 photographs": "60 CPU s",
    "correct a label": "5 s",
    "forget a class": "5 s",
}

Taken = list[dict[str, float]]


def main() -> None:
    """Measure, print and write."""
    rounds = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_photographs(folder / "photographs")
        with running_service(folder / "data", **ONE_THREAD) as url, Client(url) as client:
            for number in range(ROUNDS):
                rounds.append(measure(client, folder / "photographs", f"photographs-{number}"))
                print(rounds[-1], flush=True)
    report(rounds)


def write_photographs(folder: Path) -> None:
    """Write the photographs as class folders."""
    train, train_labels, test, test_labels, _ = load_module().load("caltech101_photos")
    things: dict[int, list[bytes]] = {}
    for data, label in zip([*train, *test], [*train_labels, *test_labels], strict=True):
        things.setdefault(int(label), []).append(data)
    half = IMAGES // 2
    plenty = iter([photographs for photographs in things.values() if len(photographs) >= half])
    for number in range(CLASSES):
        home = folder / f"class {number}"
        home.mkdir(parents=True)
        for position, data in enumerate(next(plenty)[:half] + next(plenty)[:half]):
            (home / f"{position}.jpg").write_bytes(data)


def measure(client: Client, folder: Path, name: str) -> Taken:
    """Learn, correct and forget with a new classifier; return the seconds of each."""
    images = find_images(folder)
    shown = images[0].source.read_bytes()
    client.post("/v1/classifiers", {"name": name})
    path = f"/v1/classifiers/{name}"
    taken: Taken = []

    def until_live(job: dict[str, Any]) -> None:
        first_answer(client, f"{path}/predict", shown, wait(client, job["id"]))

    with timed(taken):
        upload = send_images(client, images)
        if upload.not_taken:
            raise SystemExit(f"{upload.not_taken} photographs were rejected")
        body: dict[str, Any] = {"kind": "learn", "uploads": [upload.id]}
        until_live(client.post(f"{path}/jobs", body))
    image = next(iter(client.each(f"/v1/uploads/{upload.id}/images")))
    other = next(f"class {k}" for k in range(CLASSES) if image["label"] != f"class {k}")
    with timed(taken):
        body = {"kind": "correct", "images": [{"sha256": image["sha256"], "label": other}]}
        until_live(client.post(f"{path}/jobs", body))
    with timed(taken):
        until_live(client.post(f"{path}/jobs", {"kind": "forget", "classes": [other]}))
    return taken


@contextmanager
def timed(taken: Taken) -> Iterator[None]:
    """Append the seconds, and the CPU seconds of the children of this process."""
    # All but this process itself, whose work is the user's.
    here = psutil.Process()
    before, begun = children_seconds(here), time.perf_counter()
    yield
    seconds, cpu = time.perf_counter() - begun, children_seconds(here) - before
    taken.append({"seconds": round(seconds, 2), "cpu_seconds": round(cpu, 2)})


def children_seconds(here: psutil.Process) -> float:
    """Return the CPU seconds so far of all processes below one, with those that have ended."""
    total = 0.0
    for process in here.children(recursive=True):
        taken = process.cpu_times()
        total += taken.user + taken.system + taken.children_user + taken.children_system
    return total


def report(rounds: list[Taken]) -> None:
    """Print medians and extremes beside the goals, and write them to a file."""
    table = Table("what", "seconds", "CPU seconds", "goal")
    found = {}
    for what, taken in zip(GOALS, zip(*rounds, strict=True), strict=True):
        found[what] = {key: [each[key] for each in taken] for key in ("seconds", "cpu_seconds")}
        cells = [
            f"{median(values):.1f} ({min(values):.1f} to {max(values):.1f})"
            for values in found[what].values()
        ]
        table.add_row(what, *cells, GOALS[what])
    Console().print(table)
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
