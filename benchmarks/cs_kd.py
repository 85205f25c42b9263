"""CS-KD against plain cross-entropy in one step: how often right, and how near when wrong.

    python load.py export cifar100 FOLDER    # in the folder of the data sets
    ACCRUE_TRAIN_THREADS=1 accrue up
    ACCRUE_DATASETS=… python -m benchmarks.cs_kd FOLDER --url http://127.0.0.1:8000

Teaches all classes of CIFAR-100 at once from a few images each, over HTTP, and asks about all test
images. A wrong answer is near where it names a class of the same superclass. Writes
benchmarks/results/cs_kd.json.
"""

import argparse
import json
import time
from pathlib import Path
from statistics import fmean
from typing import Any

from app.bench.tasks import Task, read_tasks
from app.client.client import Client, classifier_path
from app.client.jobs import poll, require_success
from app.client.uploads import send_images
from benchmarks.datasets import load_module

RESULTS = Path(__file__).parent / "results" / "cs_kd.json"
_IMAGES_A_REQUEST = 128


def ask(client: Client, name: str, version: int, tasks: list[Task]) -> list[tuple[str, list[str]]]:
    """Return the label of every test image and the five most likely predictions."""
    labels = [(task, label) for task in tasks for label in task.labels]
    truth = [(label, path) for task, label in labels for path in task.held_out(label)]
    answers: list[tuple[str, list[str]]] = []
    for start in range(0, len(truth), _IMAGES_A_REQUEST):
        part = truth[start : start + _IMAGES_A_REQUEST]
        files = [path.read_bytes() for _, path in part]
        path = f"{classifier_path(name)}/predict"
        results = client.predict(path, files, version=version, top_k=5)["results"]
        answers += [
            (label, [one["label"] for one in result["ranked"]])
            for (label, _), result in zip(part, results, strict=True)
        ]
    return answers


def judge(answers: list[tuple[str, list[str]]], groups: dict[str, str]) -> dict[str, float]:
    """Return how often answers are right, and how often wrong ones are near, in percent."""
    wrong = [(label, ranked[0]) for label, ranked in answers if ranked[0] != label]
    return {
        "top-1": 100 * (1 - len(wrong) / len(answers)),
        "top-5": 100 * fmean(label in ranked for label, ranked in answers),
        "near when wrong": 100 * fmean(groups[label] == groups[said] for label, said in wrong),
    }


def main() -> None:
    """Teach, predict, and write the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1993, 1994])
    arguments = parser.parse_args()
    groups = {
        label.replace(" ", "_"): group for label, group in load_module().superclasses().items()
    }
    # `read_tasks` makes at least two tasks; they are sent as one upload.
    tasks = read_tasks(arguments.folder, 50, images_per_class=arguments.images)
    images = [image for task in tasks for image in task.images]
    found: dict[str, dict[int, dict[str, float]]] = {}
    with Client(arguments.url) as client:
        upload = send_images(client, images).id
        for method in ("finetune", "cs_kd"):
            for seed in arguments.seeds:
                name = f"{method}-{time.time_ns()}"
                body: dict[str, Any] = {
                    "name": name,
                    "method": method,
                    "options": {"epochs": arguments.epochs, "batch_size": 32},
                    "validation_fraction": 0,
                    "seed": seed,
                }
                client.post("/v1/classifiers", body)
                job = client.post(
                    f"{classifier_path(name)}/jobs", {"kind": "learn", "uploads": [upload]}
                )
                *_, job = poll(client, job["id"])
                version = require_success(job)["version"]
                shares = judge(ask(client, name, version, tasks), groups)
                found.setdefault(method, {})[seed] = shares
                print(method, seed, shares, flush=True)
    settings = {"images a class": arguments.images, "epochs": arguments.epochs}
    RESULTS.write_text(json.dumps({"settings": settings, "found": found}, indent=1) + "\n")
    print("| loss | " + " | ".join(next(iter(found["cs_kd"].values()))) + " |")
    for method, runs in found.items():
        means = [fmean(run[key] for run in runs.values()) for key in next(iter(runs.values()))]
        print(f"| `{method}` | " + " | ".join(f"{mean:.1f}" for mean in means) + " |")


if __name__ == "__main__":
    main()
