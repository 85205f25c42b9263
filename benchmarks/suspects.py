"""How well suspected wrong labels are found: photographs of Caltech-101, some labels changed.

    ACCRUE_DATASETS=… python -m benchmarks.suspects

Learns ten classes of 40 photographs with `analytic`, a tenth of each held out, as a classifier made
by name alone does. The seed draws the classes and the labels to change. Writes
benchmarks/results/suspects.json.
"""

import hashlib
import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor

from app.imaging.decode import decode
from benchmarks.datasets import load_module
from models import methods
from models.judging import Judged, suspects
from models.learner import learn
from models.spec import Spec
from models.step import StepData

RESULTS = Path(__file__).parent / "results" / "suspects.json"
CLASSES, IMAGES, HELD_OUT = 10, 40, 4
SIZES = (96, 160)
CHANGED = (0.0, 0.05)
SEEDS = (1993, 1994, 1995)


Row = dict[str, float | int | None]


def main() -> None:
    """Measure, print and write."""
    files, labels, *_ = load_module().load("caltech101_photos")
    rows: list[Row] = []
    for size, seed, share in product(SIZES, SEEDS, CHANGED):
        found = measured(files, size, *draw(labels, seed, share))
        rows.append({"image_size": size, "changed": share, "seed": seed, **found})
        print(rows[-1], flush=True)
    report(rows)


def draw(
    labels: NDArray[np.int64], seed: int, share: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the positions of images, their right columns, and those that they are given."""
    random = np.random.default_rng(seed)
    enough = [label for label in np.unique(labels) if (labels == label).sum() >= IMAGES]
    chosen = random.choice(enough, CLASSES, replace=False)
    positions = np.concatenate(
        [random.permutation((labels == label).nonzero()[0])[:IMAGES] for label in chosen]
    )
    right = np.repeat(np.arange(CLASSES), IMAGES)
    given = right.copy()
    changed = random.permutation(len(right))[: round(share * len(right))]
    given[changed] = (right[changed] + random.integers(1, CLASSES, len(changed))) % CLASSES
    return positions, right, given


def measured(
    files: Sequence[bytes],
    size: int,
    positions: NDArray[np.int64],
    right: NDArray[np.int64],
    given: NDArray[np.int64],
) -> Row:
    """Return how many suspects there are, and how many of them and of the wrong labels are both."""
    data = [files[position] for position in positions]
    pixels = torch.from_numpy(np.stack([decode(each, size) for each in data])).permute(0, 3, 1, 2)
    held_out = torch.arange(len(data)) % IMAGES < HELD_OUT
    hashes = [hashlib.sha256(each).hexdigest() for each in data]
    digests = torch.tensor([list(bytes.fromhex(each)) for each in hashes], dtype=torch.uint8)
    columns = torch.from_numpy(given)
    spec = methods.validate(
        Spec(method="analytic", backbone="efficientnet_lite0", weights="DEFAULT", image_size=size)
    )
    result = learn(spec, None, _step(pixels.contiguous(), columns, held_out, digests))
    assert result.held_out is not None
    assert result.left_out is not None
    measured_on = Judged.of(result.held_out.log_scores, columns[held_out], digests[held_out])
    sets = [measured_on, result.left_out]
    wrong = {hashes[position] for position in (right != given).nonzero()[0]}
    listed = [judgement.sha256 for judgement, _ in suspects(sets, CLASSES)]
    contradicted = {row.sha256 for judged in sets for row in judged.ordered() if row.wrong}
    hits = len(wrong.intersection(listed))
    return {
        "looked_at": sum(len(judged.columns) for judged in sets),
        "wrong": len(wrong),
        "suspects": len(listed),
        "precision": hits / len(listed) if listed else None,
        "recall": hits / len(wrong) if wrong else None,
        "contradicted": len(contradicted),
        "contradicted_precision": len(wrong & contradicted) / len(contradicted)
        if contradicted
        else None,
        "contradicted_recall": len(wrong & contradicted) / len(wrong) if wrong else None,
    }


def _step(images: Tensor, columns: Tensor, held_out: Tensor, digests: Tensor) -> StepData:
    trained = ~held_out
    return StepData(
        images=images[trained],
        columns=columns[trained],
        sizes=torch.ones(int(trained.sum()), dtype=torch.int64),
        fresh=torch.ones(int(trained.sum()), dtype=torch.bool),
        held_out=images[held_out],
        held_out_columns=columns[held_out],
        tasks=(0,) * CLASSES,
        digests=digests[trained],
    )


def report(rows: Sequence[Row]) -> None:
    """Print means over the seeds, and write all rows to a file."""
    table = Table("pixels", "changed, %", "wrong", "suspects", "precision, %", "recall, %")
    for size in SIZES:
        for share in CHANGED:
            own = [r for r in rows if (r["image_size"], r["changed"]) == (size, share)]
            table.add_row(
                str(size),
                f"{100 * share:g}",
                *(_mean(own, key, 1) for key in ("wrong", "suspects")),
                *(_mean(own, key, 100) for key in ("precision", "recall")),
            )
    Console().print(table)
    RESULTS.write_text(json.dumps({"rows": list(rows)}, indent=2) + "\n")


def _mean(rows: Sequence[Row], key: str, scale: float) -> str:
    values = [row[key] for row in rows]
    found = [value for value in values if value is not None]
    return f"{scale * fmean(found):.1f}" if found else "-"


if __name__ == "__main__":
    main()
