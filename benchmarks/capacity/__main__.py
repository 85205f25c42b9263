"""Measure the constants of the capacity model here, then check what it predicts.

    python -m benchmarks.capacity

Constants are measured in one place (single jobs, a small network) and the
model is checked in another (chains of jobs on two classifiers and one or two workers, a
larger network under 32 clients). Prints both and writes benchmarks/results/capacity.json. Needs an
idle machine with two cores or more: one for the service, one for its clients.
"""

import json
import os
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.capacity import learning, serving
from benchmarks.capacity.checks import Check

RESULTS = Path(__file__).parents[1] / "results" / "capacity.json"


def main() -> None:
    """Measure, predict, compare."""
    predicting, checks = serving.measure()
    taught, stored, more = learning.measure()
    checks += more
    show(checks)
    result = {
        "serving": asdict(predicting),
        "learning": asdict(taught),
        "storage": asdict(stored),
        "checks": [{**asdict(check), "ratio": round(check.ratio, 3)} for check in checks],
        "machine": {
            "cores": os.cpu_count(),
            "processor": platform.machine(),
            "torch": torch.__version__,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


def show(checks: list[Check]) -> None:
    """Print predictions beside measurements."""
    table = Table("what", "unit", "predicted", "measured", "measured / predicted")
    for check in checks:
        values = (f"{value:,.4g}" for value in (check.predicted, check.measured))
        table.add_row(check.what, check.unit, *values, f"{check.ratio:.2f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
