"""Images in the portions that a forward takes when nothing is trained."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

# Called between portions, so that long work shows that it lives and can be stopped. Raises
# Cancelled to stop.
Pause = Callable[[], None]

# As many images as this at most, and fewer of large ones, whose activations must fit into memory.
# Fixed, so that results do not depend on who asks.
_IMAGES = 256
_PIXELS = _IMAGES * 128**2


def go_on() -> None:
    """Do not pause."""


def portions(
    images: Tensor, device: torch.device, pause: Pause = go_on, at_most: int = _IMAGES
) -> Iterator[Tensor]:
    """Yield uint8 images [N, 3, S, S] in portions [n, 3, S, S] on the device, pausing before each.

    Portions are of 256 images or `at_most`, fewer where images are larger than 128×128.
    """
    size = max(1, min(at_most, _PIXELS // (images.shape[2] * images.shape[3])))
    for portion in images.split(size):
        pause()
        yield portion.to(device)
