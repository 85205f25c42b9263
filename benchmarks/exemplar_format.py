"""What keeping exemplars as WebP gains and costs: CIFAR-100, 20 classes in 5 tasks, with replay.

    ACCRUE_DATASETS=… python -m benchmarks.exemplar_format {whole,half} [NAME…]

`half` has half of the images and exemplars, and fewer epochs. Names are those of `VARIANTS`.
Prints a table and adds to benchmarks/results/exemplar_format.json.
"""

import io
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.datasets import load_module
from models.learner import learn
from models.methods import validate
from models.spec import Augment, Budget, Spec
from models.step import StepData, StepResult
from worker.reencoding import Reencoder

RESULTS = Path(__file__).parent / "results" / "exemplar_format.json"
SEED = 1993
CLASSES, AT_ONCE = 20, 4


class Protocol(NamedTuple):
    """Images of a class to train on, exemplars in all, and epochs."""

    images: int
    exemplars: int
    epochs: int


PROTOCOLS = {"whole": Protocol(200, 160, 16), "half": Protocol(100, 80, 12)}


@dataclass
class Course:
    """The steps of one variant, and what a service keeps between them.

    `images` and `sizes` are the exemplars' by class.
    """

    spec: Spec
    train: dict[int, Tensor]
    test: dict[int, Tensor]
    images: dict[int, Tensor] = field(default_factory=dict)
    sizes: dict[int, Tensor] = field(default_factory=dict)
    results: list[StepResult] = field(default_factory=list)

    def learn(self, new: range) -> None:
        """Learn classes as the service does."""
        fresh = torch.cat([self.train[column] for column in new])
        kept = [self.images[column] for column in self.images]
        reencoder = Reencoder.of(self.spec, len(fresh))
        sizes = torch.tensor([png_size(image) for image in fresh])
        if reencoder is not None:
            for index, image in enumerate(fresh.permute(0, 2, 3, 1).numpy()):
                reencoder.take(index, np.ascontiguousarray(image))
            sizes = torch.tensor(reencoder.sizes)
        counts = [len(images) for images in kept] + [len(self.train[c]) for c in new]
        columns = torch.arange(new.stop).repeat_interleave(torch.tensor(counts))
        data = StepData(
            images=torch.cat([*kept, fresh]),
            columns=columns,
            sizes=torch.cat([*self.sizes.values(), sizes]),
            fresh=columns >= new.start,
            held_out=torch.cat([self.test[column] for column in range(new.stop)]),
            held_out_columns=torch.arange(new.stop).repeat_interleave(len(self.test[0])),
            tasks=tuple(column // AT_ONCE for column in range(new.stop)),
            reencoded=None if reencoder is None else reencoder.images,
        )
        last = self.results[-1] if self.results else None
        history = last.metrics if last else None
        result = learn(self.spec, last.state if last else None, data, device="cpu", history=history)
        pixels = data.images.clone()
        if data.reencoded is not None:
            pixels[data.fresh] = data.reencoded
        for column, count in enumerate(result.kept):
            if column in result.rankings:
                chosen = torch.tensor(result.rankings[column])
                self.images[column], self.sizes[column] = pixels[chosen], data.sizes[chosen]
            self.images[column] = self.images[column][:count]
            self.sizes[column] = self.sizes[column][:count]
        self.results.append(result)


def png_size(image: Tensor) -> int:
    """Return the bytes of an image [3, S, S] as the service would keep a PNG of it."""
    file = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(file, "PNG")
    return len(file.getvalue())


# How many times the protocol's exemplars, and the fields of memory and augmentation.
VARIANTS: dict[str, tuple[int, dict[str, Any], dict[str, Any]]] = {
    "original": (1, {}, {}),
    "webp, 4 times as many": (4, {"format": "webp"}, {}),
    "webp, as many": (1, {"format": "webp"}, {}),
    "original, 4 times as many": (4, {}, {}),
    "original, policy auto": (1, {}, {"policy": "auto"}),
}


def course(protocol: Protocol, variant: str) -> Course:
    """Return a course over the first classes of the seed's order, with nothing learnt yet."""
    times, memory, augment = VARIANTS[variant]
    train_x, train_y, test_x, test_y, names = load_module().load("cifar100")
    order = np.random.default_rng(SEED).permutation(len(names))[:CLASSES]

    def of(images: Any, labels: Any, count: int) -> dict[int, Tensor]:
        chosen = (images[labels == label][:count] for label in order)
        return {c: torch.from_numpy(x).permute(0, 3, 1, 2) for c, x in enumerate(chosen)}

    spec = Spec(
        method="replay",
        backbone="convnet",
        image_size=32,
        options={"epochs": protocol.epochs},
        memory=Budget(exemplars=times * protocol.exemplars, **memory),
        augment=Augment(**augment),
        seed=SEED,
    )
    return Course(validate(spec), of(train_x, train_y, protocol.images), of(test_x, test_y, 100))


def measured(protocol: Protocol, variant: str) -> dict[str, Any]:
    """Learn a variant's five tasks and return its figures."""
    learner = course(protocol, variant)
    began = time.process_time()
    for first in range(0, CLASSES, AT_ONCE):
        learner.learn(range(first, first + AT_ONCE))
        print(
            f"  {first + AT_ONCE} classes: {learner.results[-1].metrics['accuracy']:.3f}",
            flush=True,
        )
    metrics = learner.results[-1].metrics
    sizes = torch.cat(list(learner.sizes.values()))
    return {
        "average": metrics["average_incremental_accuracy"],
        "last": metrics["accuracy"],
        "exemplars": len(sizes),
        "bytes": int(sizes.sum()),
        "cpu_seconds": round(time.process_time() - began),
    }


def main() -> None:
    """Measure, print and write."""
    torch.set_num_threads(1)
    chosen, *names = sys.argv[1:]
    for name in names or VARIANTS:
        print(f"{chosen}: {name}", flush=True)
        row = measured(PROTOCOLS[chosen], name)
        found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
        found[f"{chosen}: {name}"] = row
        RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    table = Table("variant", "average, %", "last, %", "exemplars", "kB", "CPU s")
    for name, row in found.items():
        accuracies = (f"{100 * row[key]:.1f}" for key in ("average", "last"))
        rest = (str(row["exemplars"]), f"{row['bytes'] / 1e3:.0f}", str(row["cpu_seconds"]))
        table.add_row(name, *accuracies, *rest)
    Console().print(table)


if __name__ == "__main__":
    main()
