"""Accuracy over tasks on CIFAR-100, through HTTP alone or through `models` alone.

    ACCRUE_DATASETS=… python -m benchmarks.incremental --through http --url http://127.0.0.1:8000
    ACCRUE_DATASETS=… python -m benchmarks.incremental --through models
    python -m benchmarks.incremental --show

The first needs a server (`accrue up`) and sends it zip files, as any client would. The second
calls the learning core with the same images; set ACCRUE_TRAIN_THREADS alike for both. Both write
what they found to benchmarks/results; `--show` prints both, says whether they agree, and draws the
curves for docs/results.md.
"""

import argparse
import io
import json
import os
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from app.cli.client import Client, classifier_path
from app.settings import Settings
from benchmarks import datasets
from benchmarks.datasets import Pixels, Task
from models.learner import StepData, learn
from models.methods import validate
from models.spec import Budget, Spec

METHODS = ("finetune", "icarl", "joint")
RESULTS = Path(__file__).parent / "results"
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "cifar100.png"
SEED = 1993


def zip_file(task: Task) -> bytes:
    """Return a task as a client would send it: train/ and test/, a folder a class."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for split, classes in (("train", task.train), ("test", task.test)):
            for label, pixels in classes.items():
                for number, image in enumerate(pixels):
                    png = io.BytesIO()
                    Image.fromarray(image).save(png, "PNG")
                    archive.writestr(f"{split}/{label}/{number:04}.png", png.getvalue())
    return buffer.getvalue()


def through_http(
    url: str, method: str, tasks: list[Task], options: dict[str, Any], exemplars: int
) -> Iterator[dict[str, Any]]:
    """Yield the metrics of each version that the service makes."""
    name = f"cifar100-{method}-{time.time_ns()}"
    with Client(url) as client:
        body = {
            "name": name,
            "method": method,
            "options": options,
            "memory": {"exemplars": exemplars},
            "validation_fraction": 0,
            "seed": SEED,
        }
        client.post("/v1/classifiers", body)
        for task in tasks:
            headers = {"Content-Type": "application/zip"}
            job = client.post_bytes(f"{classifier_path(name)}/learn", zip_file(task), headers)
            while job["state"] in {"queued", "running"}:
                time.sleep(0.5)
                job = client.get(f"/v1/jobs/{job['id']}")
            if job["state"] != "succeeded":
                sys.exit(f"the job ended as {job['state']}: {job['error']}")
            yield client.get(f"{classifier_path(name)}/versions/{job['version']}")["metrics"]


def through_models(
    method: str, tasks: list[Task], options: dict[str, Any], exemplars: int
) -> Iterator[dict[str, Any]]:
    """Yield the metrics of each step of the learning core."""
    # As the worker does: sums are rounded the same only with the same number of threads.
    torch.set_num_threads(Settings().train_threads or len(os.sched_getaffinity(0)))
    budget = Budget(exemplars=exemplars)
    spec = validate(Spec(method=method, options=options, memory=budget, seed=SEED))
    state = metrics = None
    memory: dict[int, Tensor] = {}
    held_out: list[Tensor] = []
    known: tuple[int, ...] = ()
    for number, task in enumerate(tasks):
        new = {len(known) + place: _tensor(x) for place, x in enumerate(task.train.values())}
        held_out += [_tensor(x) for x in task.test.values()]
        known += (number,) * len(new)
        groups = [*memory.items(), *new.items()]
        columns = torch.cat([torch.full((len(x),), column) for column, x in groups])
        data = StepData(
            images=torch.cat([x for _, x in groups]),
            columns=columns,
            sizes=torch.ones_like(columns),
            fresh=columns >= len(memory),
            held_out=torch.cat(held_out),
            held_out_columns=torch.cat(
                [torch.full((len(x),), column) for column, x in enumerate(held_out)]
            ),
            tasks=known,
        )
        # A method without memory has only new columns, whatever it learnt before.
        data.fresh[:] = columns >= len(known) - len(new)
        result = learn(spec, state, data, device="auto", history=metrics)
        state, metrics = result.state, result.metrics
        memory = {
            column: data.images[result.rankings[column]]
            if column in result.rankings
            else memory[column][:kept]
            for column, kept in enumerate(result.kept)
            if kept
        }
        yield metrics


def _tensor(pixels: Pixels) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))


def run(arguments: argparse.Namespace) -> None:
    """Learn with every method and save the last metrics of each."""
    tasks = datasets.tasks("cifar100", arguments.classes, arguments.tasks, SEED)
    options = {"epochs": arguments.epochs}
    found: dict[str, Any] = {}
    for method in arguments.methods:
        started = time.monotonic()
        common = (method, tasks, options, arguments.exemplars)
        steps = (
            through_http(arguments.url, *common)
            if arguments.through == "http"
            else through_models(*common)
        )
        accuracies: list[float] = []
        for number, metrics in enumerate(steps):
            accuracies.append(metrics["accuracy"])
            found[method] = {**metrics, "accuracies": accuracies}
            seconds = time.monotonic() - started
            print(f"{method} task {number}: {metrics['accuracy']:.3f} {seconds:.0f} s", flush=True)
    settings = {
        "classes": arguments.classes,
        "tasks": arguments.tasks,
        "epochs": arguments.epochs,
        "exemplars": arguments.exemplars,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"cifar100-{arguments.through}.json"
    path.write_text(json.dumps({"settings": settings, "methods": found}, indent=1) + "\n")
    print(f"wrote {path}")


def show() -> None:
    """Print what both ways found, say whether it is the same, and draw it."""
    http, models = (
        json.loads((RESULTS / f"cifar100-{way}.json").read_text()) for way in ("http", "models")
    )
    print("| method | " + " | ".join(f"task {i}" for i in range(http["settings"]["tasks"])), end="")
    print(" | average | forgetting |")
    print("|---" * (http["settings"]["tasks"] + 3) + "|")
    for method, metrics in http["methods"].items():
        cells = [*metrics["accuracies"], metrics["average_incremental_accuracy"]]
        cells.append(metrics["forgetting"])
        print(f"| {method} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |")
    same = {
        method: all(
            models["methods"][method][key] == metrics[key]
            for key in ("accuracies", "matrix", "task_aware_matrix")
        )
        for method, metrics in http["methods"].items()
    }
    print(f"the same through models alone: {same}")
    _draw(http)


def _draw(found: dict[str, Any]) -> None:
    settings = found["settings"]
    each = settings["classes"] // settings["tasks"]
    seen = [each * (step + 1) for step in range(settings["tasks"])]
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    colours = {"joint": "#7a7a7a", "icarl": "#1668b8", "finetune": "#c8452f"}
    for method in ("joint", "icarl", "finetune"):
        values = found["methods"][method]["accuracies"]
        axes.plot(seen, values, marker="o", color=colours[method])
        axes.annotate(method, (seen[-1], values[-1]), (8, -3), textcoords="offset points")
    axes.set(
        xlabel="classes learnt",
        ylabel="accuracy over all of them",
        ylim=(0, 1),
        xticks=seen,
        xlim=(seen[0] - 1, seen[-1] + each * 0.6),
        title=f"CIFAR-100, {settings['classes']} classes in {settings['tasks']} tasks, "
        f"{settings['epochs']} epochs, {settings['exemplars']} exemplars",
    )
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=150)
    print(f"drew {PICTURE}")


def main() -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--through", choices=("http", "models"))
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--tasks", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--exemplars", type=int, default=400)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    arguments = parser.parse_args()
    if arguments.through:
        run(arguments)
    if arguments.show:
        show()
    if not arguments.through and not arguments.show:
        parser.error("say --through http, --through models or --show")


if __name__ == "__main__":
    main()
