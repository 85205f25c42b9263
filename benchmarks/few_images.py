"""How accuracy grows with the images of a class: handwritten digits, five classes a step.

    python -m benchmarks.few_images

Prints a table and writes benchmarks/results/few_images.json.
"""

import json
import shutil
import statistics
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from app.client.client import Client
from app.client.folder import find_images
from app.client.jobs import poll, require_success
from app.client.uploads import send_images
from app.demo.digits import IMAGE_SIZE, write_digits
from app.demo.server import running_service

RESULTS = Path(__file__).parent / "results" / "few_images.json"
IMAGES = (1, 2, 5, 10, 20, 50, 100)  # of each class
SEEDS = (1993, 1994, 1995)
EXEMPLARS = 100
TASKS = 2
SETTINGS = {"ACCRUE_TRAIN_THREADS": "1", "OMP_NUM_THREADS": "1", "ACCRUE_LOG_LEVEL": "warning"}


def main() -> None:
    """Measure, print and write."""
    found: dict[int, list[float]] = {count: [] for count in IMAGES}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_digits(folder / "digits")
        with running_service(folder / "data", **SETTINGS) as url, Client(url) as client:
            for count in IMAGES:
                for seed in SEEDS:
                    found[count].append(accuracy(client, folder, count, seed))
                print(count, found[count], flush=True)
    report(found)


def accuracy(client: Client, folder: Path, count: int, seed: int) -> float:
    """Teach all tasks with `count` images of a class; return the share right of all test images."""
    name = f"few-{count}-{seed}"
    body = {"name": name, "method": "icarl", "backbone": "convnet", "seed": seed}
    settings = {
        "image_size": IMAGE_SIZE,
        "memory": {"exemplars": EXEMPLARS},
        "augment": {"flip": False},
    }
    client.post("/v1/classifiers", body | settings | {"validation_fraction": 0})
    for task in range(TASKS):
        sent = folder / "sent"
        for label in range(5 * task, 5 * task + 5):
            shutil.copytree(folder / f"digits/test/{label}", sent / f"test/{label}")
            known = sorted((folder / f"digits/train/{label}").iterdir())
            drawn = np.random.default_rng([seed, label]).permutation(len(known))[:count]
            target = sent / f"train/{label}"
            target.mkdir(parents=True)
            for index in drawn:
                shutil.copy(known[index], target)
        upload = send_images(client, find_images(sent))
        request = {"kind": "learn", "uploads": [upload.id]}
        job = client.post(f"/v1/classifiers/{name}/jobs", request)
        *_, last = poll(client, job["id"])
        require_success(last)
        shutil.rmtree(sent)
    version = client.get(f"/v1/classifiers/{name}/versions/live")
    return float(version["metrics"]["accuracy"])


def report(found: dict[int, list[float]]) -> None:
    """Print means and extremes in %, and write the accuracies to a file."""
    table = Table("images of a class", "accuracy, %", "smallest", "largest")
    for count, values in found.items():
        figures = (statistics.mean(values), min(values), max(values))
        table.add_row(str(count), *(f"{100 * value:.1f}" for value in figures))
    Console().print(table)
    RESULTS.write_text(json.dumps({"seeds": SEEDS, "accuracy": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
