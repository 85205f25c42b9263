"""Teaches a classifier of each method the same tasks, over HTTP."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from app.bench.tasks import Task
from app.client.client import Client, classifier_path
from app.client.jobs import JobProgress, poll, require_success
from app.client.uploads import send_images

METHODS = ("finetune", "icarl", "analytic")


@dataclass(frozen=True)
class TaughtClassifier:
    """Accuracies in [0, 1] of a classifier after each task, from the metrics of its versions."""

    name: str
    matrix: list[list[float]]
    accuracies: list[float]
    average: float
    forgetting: float
    version: int


def teach(
    client: Client,
    tasks: Sequence[Task],
    settings: Mapping[str, Mapping[str, Any]],
    console: Console,
) -> list[TaughtClassifier]:
    """Create a classifier for each method, teach it every task, and return the results.

    `settings` has the fields of each method's classifier.
    """
    for method in METHODS:
        client.post("/v1/classifiers", {"name": method, "method": method, **settings[method]})
    accuracies: dict[str, list[float]] = {method: [] for method in METHODS}
    versions: dict[str, Any] = {}
    with JobProgress(console) as progress:
        rows = {method: progress.add(method, steps=len(tasks)) for method in METHODS}
        for step, task in enumerate(tasks):
            progress.console.print(
                f"Task {step + 1} of {len(tasks)}: [bold]{', '.join(task.labels)}[/] "
                f"({task.count('train')} images to learn, {task.count('test')} to measure on)"
            )
            upload = send_images(client, task.images)
            for method in METHODS:
                path = classifier_path(method)
                queued = client.post(f"{path}/jobs", {"kind": "learn", "uploads": [upload.id]})
                for job in poll(client, queued["id"]):
                    progress.show(rows[method], job, step=step)
                number = require_success(job)["version"]
                versions[method] = client.get(f"{path}/versions/{number}")
                accuracies[method].append(versions[method]["metrics"]["accuracy"])
    return [_taught(method, versions[method], accuracies[method]) for method in METHODS]


def _taught(method: str, version: Mapping[str, Any], accuracies: list[float]) -> TaughtClassifier:
    metrics = version["metrics"]
    return TaughtClassifier(
        name=method,
        matrix=metrics["matrix"],
        accuracies=accuracies,
        average=metrics["average_incremental_accuracy"],
        forgetting=metrics["forgetting"],
        version=version["number"],
    )
