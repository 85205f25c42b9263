"""The published protocol: CIFAR-100 in 10 tasks of 10 classes, resnet32, 2,000 exemplars.

    ACCRUE_DATASETS=… python -m benchmarks.protocol [--reduced] [ROW…]

170 epochs a task: hours on a GPU, which is used where there is one. `--reduced` has a tenth of the
images and of the exemplars and 6 epochs, for a CPU. Rows are those of `ROWS`; one that has its
result is not learnt again. Prints a table and adds to benchmarks/results/protocol.json.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.cifar_course import Course, by_class
from models.methods import validate
from models.spec import Augment, Budget, Spec

RESULTS = Path(__file__).parent / "results" / "protocol.json"
SEED = 1993  # of the order of the classes too, by NumPy's permutation, as in published work
CLASSES, AT_ONCE = 100, 10
RAW_BYTES = 32 * 32 * 3  # of an image as published work keeps it


class Size(NamedTuple):
    """Images of a class to train on and to test with, exemplars in all, and epochs of a task."""

    images: int
    tested: int
    exemplars: int
    epochs: int


FULL, REDUCED = Size(500, 100, 2000, 170), Size(50, 50, 200, 6)


class Row(NamedTuple):
    """What differs between the classifiers, and the average accuracy that the whole should reach.

    `webp` gives the exemplars the bytes that they would take raw.
    """

    method: str
    goal: int | None
    options: dict[str, Any] = {}  # noqa: RUF012 - never changed
    policy: Literal["none", "auto"] = "none"
    webp: bool = False


ROWS = {
    "icarl": Row("icarl", 64),
    "icarl, ce_kd": Row("icarl", 65, {"loss": "ce_kd"}),
    "replay": Row("replay", 67),
    "replay, policy auto": Row("replay", 70, policy="auto"),
    "replay, policy auto, WebP": Row("replay", None, policy="auto", webp=True),
    "joint": Row("joint", 75),
}


def specification(row: Row, size: Size) -> Spec:
    """Return the classifier of a row."""
    memory = Budget(exemplars=size.exemplars)
    if row.webp:
        memory = Budget(megabytes=size.exemplars * RAW_BYTES / 1e6, format="webp")
    return validate(
        Spec(
            method=row.method,
            backbone="resnet32",
            image_size=32,
            options={"epochs": size.epochs, **row.options},
            memory=memory,
            augment=Augment(policy=row.policy),
            seed=SEED,
        )
    )


def measured(row: Row, size: Size) -> dict[str, Any]:
    """Learn all tasks and return the row's figures."""
    order = np.random.RandomState(SEED).permutation(CLASSES).tolist()
    images = by_class(order, size.images, size.tested)
    course = Course(specification(row, size), *images, AT_ONCE, device="auto")
    began, accuracies = time.monotonic(), []
    for classes in course.steps():
        accuracies.append(course.metrics["accuracy"])
        print(f"  {classes} classes: {100 * accuracies[-1]:.1f} %", flush=True)
    sizes = torch.cat(list(course.sizes.values()))
    return {
        "accuracies": accuracies,
        "average": course.metrics["average_incremental_accuracy"],
        "last": accuracies[-1],
        "exemplars": len(sizes),
        "bytes": int(sizes.sum()),
        "seconds": round(time.monotonic() - began),
        "device": "GPU" if torch.cuda.is_available() else "CPU",
    }


def main() -> None:
    """Measure, print and write."""
    arguments = sys.argv[1:]
    reduced = "--reduced" in arguments
    names = [name for name in arguments if name != "--reduced"] or list(ROWS)
    if unknown := [name for name in names if name not in ROWS]:
        sys.exit(f"there is no row {', '.join(unknown)}; the rows are {'; '.join(ROWS)}")
    found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    rows = found.setdefault("reduced" if reduced else "full", {})
    for name in names:
        if name not in rows:
            print(name, flush=True)
            rows[name] = measured(ROWS[name], REDUCED if reduced else FULL)
            RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    report(rows, reduced=reduced)


def report(rows: dict[str, Any], *, reduced: bool) -> None:
    """Print a table; goals are of the whole protocol."""
    table = Table("row", "average, %", "goal", "last, %", "exemplars", "kB", "seconds")
    for name, row in ((name, rows[name]) for name in ROWS if name in rows):
        goal = None if reduced else ROWS[name].goal
        table.add_row(
            name,
            f"{100 * row['average']:.1f}",
            "–" if goal is None else str(goal),
            f"{100 * row['last']:.1f}",
            str(row["exemplars"]),
            f"{row['bytes'] / 1e3:.0f}",
            str(row["seconds"]),
        )
    Console().print(table)


if __name__ == "__main__":
    main()
