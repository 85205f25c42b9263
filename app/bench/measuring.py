"""Accuracy by predicting, for what the metrics of a version do not say."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from app.bench.course import StepAccuracy
from app.bench.tasks import Task
from app.client.client import Client, classifier_path

# Enough to fill the batches of the server.
_IMAGES_A_REQUEST = 128


def predict(
    client: Client, name: str, version: int, images: Sequence[Path], **query: str | int
) -> list[str]:
    """Return the label that a version predicts for each image."""
    remaining = iter(images)
    labels: list[str] = []
    while files := [path.read_bytes() for path in islice(remaining, _IMAGES_A_REQUEST)]:
        answer = client.predict(
            f"{classifier_path(name)}/predict", files, version=version, top_k=1, **query
        )
        labels += [result["label"] for result in answer["results"]]
    return labels


def measure(
    client: Client, name: str, version: int, tasks: Sequence[Task], classify: str
) -> StepAccuracy:
    """Have a version predict every held-out image of the tasks that it has learnt."""
    counts = [task.count("test") for task in tasks]
    asked = (client, name, version)
    alone = [_right(*asked, task, classify=classify) for task in tasks]
    aware = [
        _right(*asked, task, classify=classify, task=number) for number, task in enumerate(tasks)
    ]
    return StepAccuracy(
        sum(alone) / sum(counts),
        [hits / count for hits, count in zip(alone, counts, strict=True)],
        sum(aware) / sum(counts),
        [hits / count for hits, count in zip(aware, counts, strict=True)],
    )


def _right(client: Client, name: str, version: int, task: Task, /, **query: str | int) -> int:
    truth = [(label, path) for label in task.labels for path in task.held_out(label)]
    predicted = predict(client, name, version, [path for _, path in truth], **query)
    return sum(label == answer for (label, _), answer in zip(truth, predicted, strict=True))
