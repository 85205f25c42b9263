"""One learning step: what a method sees of it, and what comes out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from models.batches import ImageSet
from models.chunks import Pause, go_on, portions
from models.compute import Compute
from models.memory import ExemplarMemory
from models.networks import Backbone, Network
from models.preprocess import Preprocess
from models.seeds import derive
from models.spec import Spec
from models.state import State


@dataclass(frozen=True)
class StepData:
    """The images of one step.

    `images` uint8 [N, 3, S, S] are trained on: exemplars first, class by class in ranking order,
    then the new images in the order they came; `columns` [N] their classes, `sizes` [N] their
    stored bytes, `fresh` [N] whether they are new. `held_out` uint8 [H, 3, S, S] are only measured
    on, with `held_out_columns` [H]. `tasks[c]` is the task of column c, new columns last.
    """

    images: Tensor
    columns: Tensor
    sizes: Tensor
    fresh: Tensor
    held_out: Tensor
    held_out_columns: Tensor
    tasks: tuple[int, ...]


@dataclass(frozen=True)
class StepResult:
    """A new version: its state, its exemplars and how well it does.

    `rankings[c]` are positions into `StepData.images` in herding order, for classes that got new
    images; `kept[c]` counts the first images of class c's ranking that are exemplars now.
    `metrics` are described in `models.evaluate`.
    """

    state: State
    rankings: dict[int, list[int]]
    kept: tuple[int, ...]
    metrics: dict[str, Any]
    warnings: list[str]
    # What a forgotten class was learnt into and is still there, since others share it.
    residual: tuple[str, ...] = ()


@dataclass(frozen=True)
class Remaining:
    """What stays when classes are forgotten, by the columns that are left, closed up.

    `held_out` uint8 [H, 3, S, S] are measured on, with `held_out_columns` [H]; `kept[c]` counts
    the exemplars of class c.
    """

    held_out: Tensor
    held_out_columns: Tensor
    kept: tuple[int, ...]


class Step:
    """What a method is given of a learning step.

    `data` are the images to train on, on the device; `tasks` the task of every column; `known`
    how many columns the network had before the step; `memory` the exemplars, which the method
    chooses at the end; `pause` is to be called within long work other than training.
    """

    def __init__(
        self,
        spec: Spec,
        data: StepData,
        network: Network,
        preprocess: Preprocess,
        compute: Compute,
        initial_network: Callable[[], Network],
        pause: Pause = go_on,
    ) -> None:
        self.spec = spec
        self.network = network
        self.compute = compute
        self.tasks = data.tasks
        self.known = len(network.head.tasks)
        device = compute.device
        self.data = ImageSet(data.images.to(device), data.columns.to(device), data.fresh.to(device))
        self.memory = ExemplarMemory(data.columns, data.fresh, data.sizes, len(data.tasks))
        self.initial_network = initial_network
        self.pause = pause
        self._preprocess = preprocess

    @property
    def seed(self) -> int:
        """Seed of this step: the classifier's, told apart by what it knew before."""
        return derive(self.spec.seed, "step", self.known)

    def features(
        self, positions: Tensor, *, flip: bool = False, backbone: Backbone | None = None
    ) -> Tensor:
        """Return L2-normalised float32 features [n, D] of training images, un-augmented.

        In eval mode, with the network as it is now or another `backbone`; `flip` mirrors the
        images first.
        """
        backbone = (backbone or self.network.backbone).eval()
        images = self.data.images[positions.to(self.data.images.device)]
        found = []
        with torch.inference_mode():
            for portion in portions(images, self.compute.device, self.pause):
                pixels = self._preprocess(portion.flip(3) if flip else portion)
                pixels = pixels.contiguous(memory_format=torch.channels_last)
                found.append(backbone(pixels)[1])
            return functional.normalize(torch.cat(found))
