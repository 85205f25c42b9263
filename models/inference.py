"""Batches of images for forwards in which nothing is trained, and the pause between them."""

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor


class Pause(Protocol):
    """Called between the parts of long work: a sign of life, and where the work can be stopped."""

    def __call__(self, done: float = 0.0) -> None:
        """Take the fraction of the job phase that is done, where it is known.

        Raises Cancelled to stop the work.
        """


# The most images in a batch. Large images come in smaller batches, since their activations must fit
# into memory, and since the pauses between batches are the only signs of life: a core that is ten
# times slower, or shared, must not look like one that hangs. Both are fixed, so that results do not
# depend on the caller.
MOST_IMAGES = 256
_PIXELS = MOST_IMAGES * 64**2


def no_pause(done: float = 0.0) -> None:
    """Do not pause."""


def parts_of(
    count: int,
    side: int,
    pause: Pause = no_pause,
    at_most: int = MOST_IMAGES,
    *,
    whole: bool = False,
) -> Iterator[slice]:
    """Yield slices that split `count` images of a `side` into batches, pausing before each.

    A batch has 256 images or `at_most`, fewer where images are larger than 64×64. With `whole`
    the images are all of the job phase, so that the pause is told which fraction of it is done.
    """
    size = max(1, min(at_most, _PIXELS // side**2))
    for start in range(0, count, size):
        if whole:
            pause(start / count)
        else:
            pause()
        yield slice(start, start + size)


def inference_batches(
    images: Tensor,
    device: torch.device,
    pause: Pause = no_pause,
    at_most: int = MOST_IMAGES,
    *,
    whole: bool = False,
    positions: Tensor | None = None,
) -> Iterator[Tensor]:
    """Yield uint8 images [N, 3, S, S] in the batches of `parts_of`, on the device.

    With `positions` [n] only these, in their order: no copy of all of them is ever made.
    """
    count = len(images) if positions is None else len(positions)
    for part in parts_of(count, images.shape[2], pause, at_most, whole=whole):
        yield (images[part] if positions is None else images[positions[part]]).to(device)
