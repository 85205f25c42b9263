"""Where a job holds decoded images: in memory or, where they are too many, in a file on disk."""

import errno
import mmap
import os
import tempfile
from typing import Protocol

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.errors import LearningError
from worker.room import ImageRoom

log = structlog.get_logger(__name__)

_FULL = (errno.ENOSPC, errno.EDQUOT)
# What is left free of the disk, which may have the database, uploads and checkpoints too: a
# twentieth, and no more than so many bytes.
_SHARE_LEFT = 0.05
_MOST_LEFT = 2 * 1024**3


class Images(Protocol):
    """Room for N images of a side S: `tensor` is uint8 [N, 3, S, S]."""

    tensor: Tensor

    def write(self, position: int, image: NDArray[np.uint8]) -> None:
        """Take the image uint8 [S, S, 3] of a position, in any order and from any thread."""


def images(room: ImageRoom, count: int, side: int, *, on_disk: bool) -> Images:
    """Return room for so many images of a side. Raises LearningError where the disk has none."""
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
        self._room, self._size, self._bytes = room, 3 * side**2, count * 3 * side**2
        try:
            room.folder.mkdir(parents=True, exist_ok=True)
            # Before anything is taken: to run out of room fills the disk for everybody.
            if self._bytes > self._free() - self._left_free():
                raise self._no_room()
            self._file = tempfile.TemporaryFile(dir=room.folder, buffering=0)  # noqa: SIM115
            # All of it now: a full disk is said before anything is trained.
            os.posix_fallocate(self._file.fileno(), 0, self._bytes)
        except OSError as error:
            raise self._full(error) from error
        log.info("images_on_disk", bytes=self._bytes, folder=str(room.folder))
        mapped = mmap.mmap(self._file.fileno(), self._bytes)
        self.tensor = torch.frombuffer(mapped, dtype=torch.uint8).view(count, 3, side, side)

    def write(self, position: int, image: NDArray[np.uint8]) -> None:
        # Not through the mapping: a disk that fails would end the process without a word.
        data = np.ascontiguousarray(image.transpose(2, 0, 1)).data.cast("B")
        at = position * self._size
        try:
            while data:  # a disk that runs full may take the first part only, without an error
                written = os.pwrite(self._file.fileno(), data, at)
                data, at = data[written:], at + written
        except OSError as error:
            raise self._full(error) from error

    def _disk(self) -> os.statvfs_result:
        folder = self._room.folder
        while not folder.exists():  # a full disk may have no room for the folder itself
            folder = folder.parent
        return os.statvfs(folder)

    def _free(self) -> int:
        disk = self._disk()
        return disk.f_bavail * disk.f_frsize

    def _left_free(self) -> int:
        disk = self._disk()
        return min(int(_SHARE_LEFT * disk.f_blocks * disk.f_frsize), _MOST_LEFT)

    def _full(self, error: OSError) -> Exception:
        """Return what to raise for an error of writing."""
        return self._no_room() if error.errno in _FULL else error

    def _no_room(self) -> LearningError:
        return LearningError(
            "scratch-full",
            f"the images take {self._bytes:,} bytes, more than the {self._room.limit:,} of memory "
            f"that ACCRUE_TRAIN_MEMORY gives them, and {self._room.folder} has no room for them "
            f"({self._free():,} bytes are free, of which {self._left_free():,} are for others)",
        )
