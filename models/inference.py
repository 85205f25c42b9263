"""Batches of images for forwards in which nothing is trained, and the pause between them."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

# Called between the parts of long work: a sign of life, and a point where the work can be stopped.
# Raises Cancelled to stop it.
Pause = Callable[[], None]

# The most images in a batch. Large images come in smaller batches, since their activations must fit
# into memory. Both are fixed, so that results do not depend on the caller.
_IMAGES = 256
_PIXELS = _IMAGES * 128**2


def no_pause() -> None:
    """Do not pause."""


def inference_batches(
    images: Tensor, device: torch.device, pause: Pause = no_pause, at_most: int = _IMAGES
) -> Iterator[Tensor]:
    """Yield uint8 images [N, 3, S, S] in batches [n, 3, S, S] on the device, pausing before each.

    A batch has 256 images or `at_most`, fewer where images are larger than 128×128.
    """
    size = max(1, min(at_most, _PIXELS // (images.shape[2] * images.shape[3])))
    for batch in images.split(size):
        pause()
        yield batch.to(device)
