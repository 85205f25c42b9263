"""How well a trained network fits its own images: whether anything was learnt at all."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.inference import Pause, inference_batches, no_pause
from models.methods import Method
from models.step import Step

# The most images that are looked at, evenly from all: that gives the share to two points.
IMAGES = 1000


@dataclass(frozen=True)
class Fit:
    """The share `accuracy` that is right of `images` new training images.

    The `classes` that got new images compete, and no others. `chance` is the share that always
    naming the commonest class gets.
    """

    accuracy: float
    images: int
    classes: int
    chance: float

    @property
    def at_chance(self) -> bool:
        """Whether so little was learnt that guessing is hardly worse.

        The margin above chance is a tenth of what there is to gain, at most chance itself (among
        100 classes 2 % is little, 10 % is not), and at least the standard error.
        """
        error = math.sqrt(self.chance * (1 - self.chance) / self.images)
        return self.accuracy <= self.chance + max(error, min(self.chance, (1 - self.chance) / 10))


def measure(method: Method[Any], step: Step, pause: Pause = no_pause) -> Fit | None:
    """Measure a method between training and its `end`, on images as they are served.

    The network is left in eval mode. Return None where fewer than two classes got images, so that
    there is nothing to confuse.
    """
    data = step.data
    new = data.fresh.nonzero().flatten()
    taught, counts = data.columns[new].unique(return_counts=True)
    if len(taught) < 2:
        return None
    chosen = torch.linspace(0, len(new) - 1, min(len(new), IMAGES)).round().long()
    chosen = new[chosen.to(new.device)]
    return Fit(
        accuracy=_accuracy(method, step, data.as_sent(chosen), data.columns[chosen], taught, pause),
        images=len(chosen),
        classes=len(taught),
        chance=int(counts.max()) / len(new),
    )


def held_out_accuracy(method: Method[Any], step: Step, pause: Pause = no_pause) -> float:
    """Return the share of the step's held-out images, at least one, that the head names rightly.

    The classes that the step trains on compete, and no others: a method with weights for each task
    now has those of the task that it learns. The network is left in eval mode.
    """
    taught, held_out = step.data.columns.unique(), step.held_out
    return _accuracy(method, step, held_out.images, held_out.columns, taught, pause)


def _accuracy(
    method: Method[Any], step: Step, images: Tensor, columns: Tensor, taught: Tensor, pause: Pause
) -> float:
    """Return the share of uint8 images [N, 3, S, S] that are named by their `columns` [N]."""
    method.network.eval()
    with torch.no_grad():
        batches = inference_batches(images, step.compute.device, pause)
        logits = torch.cat([_logits(method, batch) for batch in batches])
    right = taught[logits[:, taught].argmax(dim=1)] == columns
    return float(right.double().mean())


def _logits(method: Method[Any], images: Tensor) -> Tensor:
    """Return the logits [B, C] of uint8 images [B, 3, S, S] as they are in training."""
    pixels = method.preprocess(images).contiguous(memory_format=torch.channels_last)
    return method.forward(pixels).logits
