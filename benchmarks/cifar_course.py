"""CIFAR-100 in steps, by `models` alone: what a service would do, without the service."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.datasets import load_module
from models.learner import learn
from models.spec import Spec
from models.step import StepData, StepResult
from worker.reencoding import Reencoder
from worker.room import ImageRoom

# Courses are small: in memory.
ROOM = ImageRoom(2**40, Path())


@dataclass
class Course:
    """The steps of one classifier, and what a service keeps between them.

    `train` and `test` are images by class, and each step has `classes` of them. `images` and
    `sizes` are the exemplars' by class.
    """

    spec: Spec
    train: dict[int, Tensor]
    test: dict[int, Tensor]
    classes: int
    device: str = "cpu"
    images: dict[int, Tensor] = field(default_factory=dict)
    sizes: dict[int, Tensor] = field(default_factory=dict)
    results: list[StepResult] = field(default_factory=list)

    @property
    def metrics(self) -> dict[str, Any]:
        """Return those of the last step."""
        return self.results[-1].metrics

    def steps(self) -> Iterator[int]:
        """Learn all classes, and yield their number after each step."""
        for first in range(0, len(self.train), self.classes):
            new = range(first, min(first + self.classes, len(self.train)))
            self.learn(new)
            yield new.stop

    def learn(self, new: range) -> None:
        """Learn classes as the service does."""
        fresh = torch.cat([self.train[column] for column in new])
        kept = [self.images[column] for column in self.images]
        reencoder = Reencoder.of(self.spec, ROOM, len(fresh), on_disk=False)
        if reencoder is None:
            sizes = torch.tensor([png_size(image) for image in fresh])
        else:
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
            tasks=tuple(column // self.classes for column in range(new.stop)),
            reencoded=None if reencoder is None else reencoder.images,
        )
        last = self.results[-1] if self.results else None
        history = last.metrics if last else None
        base = last.state if last else None
        result = learn(self.spec, base, data, device=self.device, history=history)
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


def by_class(
    order: Sequence[int], train: int, test: int
) -> tuple[dict[int, Tensor], dict[int, Tensor]]:
    """Return CIFAR-100's images uint8 [n, 3, 32, 32] to train on and to test with, by column.

    Column c is class `order[c]`; `train` and `test` are the most of a class.
    """
    train_x, train_y, test_x, test_y, _ = load_module().load("cifar100")

    def of(images: Any, labels: Any, count: int) -> dict[int, Tensor]:
        chosen = (images[labels == label][:count] for label in order)
        return {c: torch.from_numpy(x).permute(0, 3, 1, 2) for c, x in enumerate(chosen)}

    return of(train_x, train_y, train), of(test_x, test_y, test)
