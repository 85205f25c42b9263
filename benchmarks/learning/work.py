"""The work that all learn: classes of CIFAR-100 in tasks, written for programs of any kind."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets import load_module

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Work:
    """`classes` in `tasks`, with `images` to train on of each; `exemplars` are kept in all."""

    classes: int = 20
    tasks: int = 4
    images: int = 100
    epochs: int = 20
    batch: int = 128
    exemplars: int = 400
    seed: int = 1993

    def in_tasks(self) -> Iterator[range]:
        """Yield the classes of each task."""
        size = self.classes // self.tasks
        for first in range(0, self.classes, size):
            yield range(first, first + size)


@dataclass(frozen=True)
class Images:
    """Images [N, S, S, 3] and their classes [N], to train on and to test on."""

    train_x: Pixels
    train_y: NDArray[np.int64]
    test_x: Pixels
    test_y: NDArray[np.int64]


def images_of(work: Work) -> Images:
    """Return the first images of each class of the work; the classes are drawn by its seed."""
    train_x, train_y, test_x, test_y, names = load_module().load("cifar100")
    order = np.random.default_rng(work.seed).permutation(len(names))[: work.classes]
    train = [np.flatnonzero(train_y == name)[: work.images] for name in order]
    test = [np.flatnonzero(test_y == name) for name in order]

    def classes(rows: list[NDArray[np.int64]]) -> NDArray[np.int64]:
        return np.repeat(np.arange(len(rows)), [len(each) for each in rows])

    return Images(
        train_x[np.concatenate(train)],
        classes(train),
        test_x[np.concatenate(test)],
        classes(test),
    )


def write(work: Work, images: Images, folder: Path) -> None:
    """Write ``work.json`` and ``images.npz``."""
    (folder / "work.json").write_text(json.dumps(asdict(work)))
    np.savez(folder / "images.npz", **vars(images))
