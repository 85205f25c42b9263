"""What keeping exemplars as WebP gains and costs: CIFAR-100, 20 classes in 5 tasks, with replay.

    ACCRUE_DATASETS=… python -m benchmarks.exemplar_format {whole,half} [NAME…]

`half` has half of the images and exemplars, and fewer epochs. Names are those of `VARIANTS`.
Prints a table and adds to benchmarks/results/exemplar_format.json.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.cifar_course import Course, by_class
from models.methods import validate
from models.spec import Augment, Budget, Spec

RESULTS = Path(__file__).parent / "results" / "exemplar_format.json"
SEED = 1993
CLASSES, AT_ONCE = 20, 4


class Protocol(NamedTuple):
    """Images of a class to train on, exemplars in all, and epochs."""

    images: int
    exemplars: int
    epochs: int


PROTOCOLS = {"whole": Protocol(200, 160, 16), "half": Protocol(100, 80, 12)}


# How many times the protocol's exemplars, and the fields of memory and augmentation.
VARIANTS: dict[str, tuple[int, dict[str, Any], dict[str, Any]]] = {
    "original": (1, {}, {}),
    "webp, 4 times as many": (4, {"format": "webp"}, {}),
    "webp, as many": (1, {"format": "webp"}, {}),
    "original, 4 times as many": (4, {}, {}),
    "original, policy auto": (1, {}, {"policy": "auto"}),
}


def course(protocol: Protocol, variant: str) -> Course:
    """Return a course over the first classes of the seed's order, with nothing learnt yet."""
    times, memory, augment = VARIANTS[variant]
    order = np.random.default_rng(SEED).permutation(100)[:CLASSES]
    spec = Spec(
        method="replay",
        backbone="convnet",
        image_size=32,
        options={"epochs": protocol.epochs},
        memory=Budget(exemplars=times * protocol.exemplars, **memory),
        augment=Augment(**augment),
        seed=SEED,
    )
    return Course(validate(spec), *by_class(order.tolist(), protocol.images, 100), AT_ONCE)


def measured(protocol: Protocol, variant: str) -> dict[str, Any]:
    """Learn a variant's five tasks and return its figures."""
    learner = course(protocol, variant)
    began = time.process_time()
    for classes in learner.steps():
        print(f"  {classes} classes: {learner.metrics['accuracy']:.3f}", flush=True)
    metrics = learner.metrics
    sizes = torch.cat(list(learner.sizes.values()))
    return {
        "average": metrics["average_incremental_accuracy"],
        "last": metrics["accuracy"],
        "exemplars": len(sizes),
        "bytes": int(sizes.sum()),
        "cpu_seconds": round(time.process_time() - began),
    }


def main() -> None:
    """Measure, print and write."""
    torch.set_num_threads(1)
    chosen, *names = sys.argv[1:]
    for name in names or VARIANTS:
        print(f"{chosen}: {name}", flush=True)
        row = measured(PROTOCOLS[chosen], name)
        found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
        found[f"{chosen}: {name}"] = row
        RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    table = Table("variant", "average, %", "last, %", "exemplars", "kB", "CPU s")
    for name, row in found.items():
        accuracies = (f"{100 * row[key]:.1f}" for key in ("average", "last"))
        rest = (str(row["exemplars"]), f"{row['bytes'] / 1e3:.0f}", str(row["cpu_seconds"]))
        table.add_row(name, *accuracies, *rest)
    Console().print(table)


if __name__ == "__main__":
    main()
