"""CPU time and accuracy of iCaRL jobs, beside other libraries at equal work.

    python -m benchmarks.learning [--epochs 20] [--images 100] [--rounds 1]

Needs ACCRUE_DATASETS. Prints a table and writes benchmarks/results/learning.json. All run in turn
on one thread of the same machine. Accrue's time is that of its worker, from the first accepted job
until the last version is live: reading, training, herding, measuring and publication. A library's
is that of its process, from its start.
"""

import argparse
import statistics
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import runner
from benchmarks.learning import own, peers
from benchmarks.learning.work import Work, images_of
from models.compute import Compute

Runs = list[tuple[float, list[float]]]


def main() -> None:
    """Measure in turn, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning")
    parser.add_argument("--epochs", type=int, default=Work.epochs)
    parser.add_argument("--images", type=int, default=Work.images)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    work = Work(epochs=options.epochs, images=options.images)
    images = images_of(work)
    who: dict[str, Callable[[], tuple[float, list[float]]]] = {
        "accrue": partial(own.learn, work, images)
    }
    who |= {title: partial(peers.learn, name, work, images) for name, title in peers.PEERS.items()}
    found: dict[str, Runs] = {name: [] for name in who}
    for number in range(options.rounds):
        for name, run in who.items():
            found[name].append(run())
            print(f"round {number + 1} of {options.rounds}: {name} {found[name][-1]}", flush=True)
    report(work, found)


def report(work: Work, found: dict[str, Runs]) -> None:
    """Print a row for each, with its CPU time as a ratio to the least of the others'."""
    seconds = {name: statistics.median(cpu for cpu, _ in runs) for name, runs in found.items()}
    best = min(cpu for name, cpu in seconds.items() if name != "accrue")
    table = Table("iCaRL by", "CPU s", "to the best peer", "average accuracy, %", "last, %")
    rows: dict[str, dict[str, Any]] = {}
    for name, runs in found.items():
        average = statistics.mean(statistics.mean(each) for _, each in runs)
        last = statistics.mean(each[-1] for _, each in runs)
        rows[name] = {
            "cpu_seconds": round(seconds[name], 1),
            "ratio": round(seconds[name] / best, 3),
            "average_accuracy": round(average, 4),
            "last_accuracy": round(last, 4),
            "accuracies": [each for _, each in runs],
        }
        figures = (seconds[name], seconds[name] / best, 100 * average, 100 * last)
        formats = ("{:.0f}", "{:.2f}", "{:.1f}", "{:.1f}")
        table.add_row(name, *(f.format(x) for f, x in zip(formats, figures, strict=True)))
    Console().print(table)
    bf16 = Compute.on("cpu").bf16
    runner.write("learning", {"work": asdict(work), "bf16": bf16, "rows": rows})


if __name__ == "__main__":
    main()
