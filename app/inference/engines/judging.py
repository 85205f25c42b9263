"""Whether an engine says what PyTorch says, and whether it says it sooner."""

import time
from collections.abc import Callable, Iterator
from itertools import cycle

import torch
from torch import Tensor

from models.classify import Output

# The share of images whose label must be the same, and how far a score may be off.
LABELS = 0.995
SCORES = 0.01
# How far a distance may be off, relative to the largest.
_DISTANCES = 0.01

# How long plain and fast are timed in turn, in batches of so many images.
_SECONDS = 1.0
_ROUNDS = (3, 12)
_BATCH = 4

Module = Callable[[Tensor], Output]


@torch.inference_mode()
def difference(plain: Module, fast: Module, images: Tensor, batch: int) -> str | None:
    """Return in what way two modules differ on uint8 images [n, 3, S, S]; None: in none.

    The batches have 1, 2, … up to `batch` images, since engines prepare for each size.
    """
    same, worst, farthest = 0, 0.0, 0.0
    for part in _batches(images, batch):
        expected, found = plain(part), fast(part)
        if found.log_scores.shape != expected.log_scores.shape:
            return "its scores are of another shape"
        same += int((found.log_scores.argmax(1) == expected.log_scores.argmax(1)).sum())
        worst = max(worst, _largest(found.scores - expected.scores))
        for own, other in zip(expected[1:], found[1:], strict=True):
            if own is not None and other is not None and own.is_floating_point():
                farthest = max(farthest, _largest(other - own) / max(1.0, _largest(own)))
    if same < LABELS * len(images):
        return f"it gives {len(images) - same} of {len(images)} images another label"
    if not worst <= SCORES:
        return f"its scores differ by up to {worst:.3f}"
    if not farthest <= _DISTANCES:
        return f"its distances differ by up to {farthest:.1%}"
    return None


@torch.inference_mode()
def relative_time(plain: Module, fast: Module, images: Tensor) -> float:
    """Return how long `fast` takes relative to `plain`: the shortest times of each, in turn.

    Both run in this thread, while others may predict: that is as it will be.
    """
    part = images[:_BATCH]
    of_plain, of_fast = float("inf"), float("inf")
    begun = time.perf_counter()
    for done in range(1, _ROUNDS[1] + 1):
        of_plain = min(of_plain, _seconds(plain, part))
        of_fast = min(of_fast, _seconds(fast, part))
        if done >= _ROUNDS[0] and time.perf_counter() - begun > _SECONDS:
            break
    return of_fast / of_plain


def _seconds(module: Module, images: Tensor) -> float:
    started = time.perf_counter()
    module(images)
    return time.perf_counter() - started


def _batches(images: Tensor, batch: int) -> Iterator[Tensor]:
    first = 0
    for size in cycle(range(1, batch + 1)):
        if first >= len(images):
            return
        yield images[first : first + size]
        first += size


def _largest(values: Tensor) -> float:
    """Return the largest magnitude; infinite where one is not a number."""
    return float(values.abs().nan_to_num(nan=torch.inf).max())
