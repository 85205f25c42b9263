"""Where a job holds decoded images: in memory or, where they are too many, in a file on disk."""

import mmap
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worker.room import ImageRoom
from worker.scratch import ScratchFile


class Images(Protocol):
    """Room for N images of a side S: `tensor` is uint8 [N, 3, S, S]."""

    tensor: Tensor

    def write(self, position: int, image: NDArray[np.uint8]) -> None:
        """Take the image uint8 [S, S, 3] of a position, in any order and from any thread."""


def images(room: ImageRoom, count: int, side: int, *, on_disk: bool) -> Images:
    """Return room for so many images of a side.

    Raises LearningError where the disk has none, and OSError where it cannot be written to.
    """
    return _OnDisk(room, count, side) if on_disk and count else _InMemory(count, side)


class _InMemory:
    def __init__(self, count: int, side: int) -> None:
        self.tensor = torch.empty((count, 3, side, side), dtype=torch.uint8)
        self._rows = self.tensor.numpy()

    def write(self, position: int, image: NDArray[np.uint8]) -> None:
        self._rows[position] = image.transpose(2, 0, 1)


class _OnDisk:
    """A file that is written like any other, and read as memory: pages that the kernel may drop."""

    def __init__(self, room: ImageRoom, count: int, side: int) -> None:
        self._size, size = 3 * side**2, count * 3 * side**2
        self._file = ScratchFile(room, size)
        mapped = mmap.mmap(self._file.fileno(), size)
        self.tensor = torch.frombuffer(mapped, dtype=torch.uint8).view(count, 3, side, side)

    def write(self, position: int, image: NDArray[np.uint8]) -> None:
        # Not through the mapping: a disk that fails would end the process without a word.
        data = np.ascontiguousarray(image.transpose(2, 0, 1)).data.cast("B")
        self._file.write(data, position * self._size)
