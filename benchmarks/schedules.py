"""Optimizers and schedules on small sets of images: accuracy on images that were never learnt.

    ACCRUE_DATASETS=… python -m benchmarks.schedules

Trains `finetune` from scratch on some classes of three data sets, for a few epochs. Prints a table
and writes benchmarks/results/schedules.json. Takes some minutes.
"""

import json
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.datasets import load_module
from models.learner import learn
from models.methods import validate
from models.spec import Augment, Spec
from models.step import StepData

RESULTS = Path(__file__).parent / "results" / "schedules.json"
IMAGES, CLASSES, EPOCHS, SEEDS = 60, 4, 15, (1993, 1994, 1995)
SETS = ("cifar100", "gtsrb", "omniglot")
RECIPES: dict[str, dict[str, Any]] = {
    "sgd, steps": {},
    "sgd, cosine": {"schedule": "cosine"},
    "sgd, one_cycle": {"schedule": "one_cycle"},
    "adamw, steps": {"optimizer": "adamw"},
    "adamw, cosine": {"optimizer": "adamw", "schedule": "cosine"},
    "adamw, one_cycle": {"optimizer": "adamw", "schedule": "one_cycle"},
}


def data_of(name: str, seed: int) -> StepData:
    """Return a step of the images to train on, with the test images held out."""
    train_x, train_y, test_x, test_y, names = load_module().load(name)
    draws = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(names), generator=draws)[:CLASSES].tolist()

    def of(images: Any, labels: Any, most: int) -> tuple[torch.Tensor, torch.Tensor]:
        pixels, columns = [], []
        for column, label in enumerate(chosen):
            own = torch.from_numpy(images[labels == label][:most])
            pixels.append(own.permute(0, 3, 1, 2))
            columns += [column] * len(own)
        return _resized(torch.cat(pixels)), torch.tensor(columns)

    images, columns = of(train_x, train_y, IMAGES)
    held_out, held_out_columns = of(test_x, test_y, 100)
    return StepData(
        images=images,
        columns=columns,
        sizes=torch.ones(len(images), dtype=torch.int64),
        fresh=torch.ones(len(images), dtype=torch.bool),
        held_out=held_out,
        held_out_columns=held_out_columns,
        tasks=(0,) * CLASSES,
    )


def _resized(images: torch.Tensor) -> torch.Tensor:
    if images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1)
    resized = torch.nn.functional.interpolate(images.float(), size=(32, 32), mode="bilinear")
    return resized.round().to(torch.uint8)


def accuracy(recipe: dict[str, Any], name: str, seed: int) -> float:
    """Train once; return the accuracy on the test images."""
    spec = validate(
        Spec(
            method="finetune",
            backbone="convnet",
            options={"epochs": EPOCHS, **recipe},
            augment=Augment(flip=name == "cifar100"),
            seed=seed,
        )
    )
    found = learn(spec, None, data_of(name, seed), device="cpu").metrics["accuracy"]
    return float(found)


def main() -> None:
    """Train all, print and write."""
    table = Table("recipe", *SETS, "mean")
    results: dict[str, dict[str, float]] = {}
    for title, recipe in RECIPES.items():
        row = {name: fmean(accuracy(recipe, name, seed) for seed in SEEDS) for name in SETS}
        results[title] = row
        table.add_row(
            title, *(f"{100 * row[name]:.1f}" for name in SETS), f"{100 * fmean(row.values()):.1f}"
        )
    Console().print(table)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
