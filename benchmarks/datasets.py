"""Real data sets, read from the folder that ACCRUE_DATASETS names; nothing of them is kept here.

The folder holds a ``load.py`` whose ``load(name)`` returns training images (uint8 [N, H, W, 3]),
their labels, test images, their labels and the class names.
"""

import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Task:
    """Classes learnt together: for each its training and its test images, uint8 [n, H, W, 3]."""

    train: dict[str, Pixels]
    test: dict[str, Pixels]


def tasks(name: str, classes: int, count: int, seed: int) -> list[Task]:
    """Draw `classes` of a data set's classes and cut them into `count` tasks of equal size.

    The order is NumPy's permutation for the seed, as in the field's protocols (1993).
    """
    train_x, train_y, test_x, test_y, names = _load(name)
    order = np.random.RandomState(seed).permutation(len(names))[:classes]

    def images(pixels: Pixels, labels: NDArray[np.int64], chosen: Any) -> dict[str, Pixels]:
        return {names[label]: pixels[labels == label] for label in chosen}

    return [
        Task(images(train_x, train_y, chosen), images(test_x, test_y, chosen))
        for chosen in np.array_split(order, count)
    ]


def _load(name: str) -> Any:
    home = os.environ.get("ACCRUE_DATASETS")
    if not home or not (Path(home) / "load.py").is_file():
        sys.exit("set ACCRUE_DATASETS to the folder of the data sets (it holds load.py)")
    spec = importlib.util.spec_from_file_location("load", Path(home) / "load.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.load(name)
