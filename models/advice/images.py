"""The images that advice rests on."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from models.step import StepData


@dataclass(frozen=True)
class JudgedImages:
    """N images of C classes, no two of which look alike on both sides of a measurement.

    `columns` [N] are their classes and `sizes` [N] their stored bytes. `held_out` [N] says which
    ones methods that train are measured on. Where `apart`, all methods are measured on these:
    whoever sent the images chose them (the split ``test``), or the images have groups, which
    `groups` [N] number; else methods that can leave each image out in turn are measured on all.
    `small` images show nothing more at many pixels. `sent` images there are in all: N of them are
    judged. `pixels` returns the images of a size S as uint8 [N, 3, S, S], by the rules of number
    `pixel_rules`.
    """

    columns: Tensor
    sizes: Tensor
    held_out: Tensor
    apart: bool
    groups: Tensor | None
    classes: int
    small: bool
    sent: int
    pixels: Callable[[int], Tensor]
    pixel_rules: int

    @property
    def share(self) -> float:
        """The part of the images that is judged."""
        return len(self.columns) / self.sent

    def step(
        self,
        pixels: Tensor,
        train: Tensor,
        held_out: Tensor,
        tasks: tuple[int, ...],
        kept: Tensor | None = None,
    ) -> StepData:
        """Return a learning step over images at positions `train` and `held_out`.

        `pixels` are those of all images, `kept` the positions of exemplars, class by class in the
        order of their rankings.
        """
        old = train[:0] if kept is None else kept
        images = torch.cat([old, train])
        return StepData(
            images=pixels[images],
            columns=self.columns[images],
            sizes=self.sizes[images],
            fresh=torch.arange(len(images)) >= len(old),
            held_out=pixels[held_out],
            held_out_columns=self.columns[held_out],
            tasks=tasks,
            pixel_rules=self.pixel_rules,
        )
