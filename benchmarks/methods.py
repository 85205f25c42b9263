"""Every method on the same digits, and the regularizer with those that take it, over HTTP alone.

    ACCRUE_TRAIN_THREADS=1 accrue up
    python -m benchmarks.methods --url http://127.0.0.1:8000

Teaches scikit-learn's digits, two classes at a time, to a classifier of each method and seed, as
any client would, and measures on test images of their own. Prints the table of docs/methods.md, in
which a figure is the mean over the seeds, and writes every run to benchmarks/results/methods.json.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from app.demo.tasks import read_tasks

from app.cli.client import Client, classifier_path
from app.cli.folder import TarStream
from app.cli.jobs import require_success, warnings, watch
from app.demo.digits import IMAGE_SIZE, write_digits
from models.evaluate import forgetting

RESULTS = Path(__file__).parent / "results" / "methods.json"
CLASSES_PER_TASK = 2
EPOCHS = 15
SETTINGS: dict[str, Any] = {
    "backbone": "convnet",
    "image_size": IMAGE_SIZE,
    "memory": {"exemplars": 100},
    "augment": {"flip": False},
    # The tasks bring their own test images, so that every other image is learnt.
    "validation_fraction": 0,
}
# At its default rates Piggyback's 135 steps a task would hardly flip a bit.
OPTIONS: dict[str, dict[str, Any]] = {
    "piggyback": {"base_epochs": EPOCHS, "lr": 1e-3, "head_lr": 1e-3}
}
METHODS = ("icarl", "lwf", "lwm", "mas", "piggyback", "packnet", "cs_kd", "finetune", "joint")
# `cs_kd` has the regularizer built in, and the sigmoids of `icarl` take none.
REGULARIZED = ("lwf", "lwm", "mas", "piggyback", "packnet", "finetune", "joint")

# A run's figures, by the table's heading; shares are in percent.
Run = dict[str, float | None]


def bodies() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name of each row of the table, and the classifier that it is about."""
    plain = [(method, None) for method in METHODS]
    regularized = [(method, {"name": "cs_kd"}) for method in REGULARIZED]
    for method, regularizer in plain + regularized:
        options = {"epochs": EPOCHS, **OPTIONS.get(method, {})}
        body = {"method": method, "options": options, "regularizer": regularizer}
        yield f"`{method}`{' + cs_kd' if regularizer else ''}", {**SETTINGS, **body}


def upload_digits(client: Client) -> list[str]:
    """Send the digits, an upload a task, and return the uploads' ids."""
    with tempfile.TemporaryDirectory() as folder:
        write_digits(Path(folder))
        streams = [TarStream(task.members) for task in read_tasks(Path(folder), CLASSES_PER_TASK)]
        answers = [client.post_bytes("/v1/uploads", each, each.headers) for each in streams]
    return [answer["id"] for answer in answers]


def teach(client: Client, body: dict[str, Any], uploads: Sequence[str]) -> Run:
    """Teach a new classifier every upload and return what its last version says."""
    name = f"{body['method']}-{time.time_ns()}"
    path = classifier_path(name)
    client.post("/v1/classifiers", {"name": name, **body})
    for upload in uploads:
        job = client.post(f"{path}/jobs", {"kind": "learn", "uploads": [upload]})
        *_, job = watch(client, job["id"])
        number = require_success(job)["version"]
        for warning in warnings(client, job["id"]):
            print(f"{name} version {number}: {warning}", file=sys.stderr)
    version = client.get(f"{path}/versions/{number}")
    metrics = version["metrics"]
    return {
        "accuracy": _percent(metrics["accuracy"]),
        "accuracy, task given": _percent(metrics["task_aware_accuracy"]),
        "average": _percent(metrics["average_incremental_accuracy"]),
        "forgetting": _percent(metrics["forgetting"]),
        "forgetting, task given": _percent(forgetting(metrics["task_aware_matrix"])),
        "router": _percent(metrics["router_accuracy"]),
        "images kept": version["memory"]["exemplars"],
        "new bytes": version["new_bytes"],
    }


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 2)


def row(name: str, runs: Sequence[Run]) -> str:
    """Return a row of the table: means over the runs, and the extremes of the two accuracies."""
    cells = [name]
    for heading in runs[0]:
        values = [value for run in runs if (value := run[heading]) is not None]
        if not values:
            cells.append("–")
        elif heading in {"images kept", "new bytes"}:
            cells.append(f"{fmean(values):,.0f}")
        elif heading.startswith("accuracy"):
            cells.append(f"{fmean(values):.1f} ({min(values):.1f} to {max(values):.1f})")
        else:
            cells.append(f"{fmean(values):.1f}")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1993, 1994, 1995])
    arguments = parser.parse_args()
    found: dict[str, dict[str, Run]] = {}
    with Client(arguments.url) as client:
        uploads = upload_digits(client)
        for name, body in bodies():
            runs = {str(s): teach(client, {**body, "seed": s}, uploads) for s in arguments.seeds}
            if not found:
                headings = ["method", *next(iter(runs.values()))]
                print(f"| {' | '.join(headings)} |")
                print("|---" * len(headings) + "|")
            found[name.replace("`", "")] = runs
            print(row(name, list(runs.values())), flush=True)
    settings = {**SETTINGS, "classes_per_task": CLASSES_PER_TASK, "epochs": EPOCHS}
    result = {"settings": settings, "options": OPTIONS, "by method and seed": found}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(f"wrote {RESULTS}", file=sys.stderr)


if __name__ == "__main__":
    main()
