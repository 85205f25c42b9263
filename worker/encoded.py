"""Where a job holds new images in encoded form: in memory or, with the decoded ones, on disk."""

import threading
from typing import Protocol

from worker.room import FILE_BYTES, ImageRoom
from worker.scratch import ScratchFile


class Files(Protocol):
    """Room for files, each of which is put once, in any order and from any thread."""

    def put(self, index: int, data: bytes) -> None:
        """Take the bytes of a file."""

    def get(self, index: int) -> bytes:
        """Return the bytes of a file that was put."""

    @property
    def sizes(self) -> list[int]:
        """The bytes of each file; 0 before it is put."""


def files(room: ImageRoom, count: int, side: int, *, on_disk: bool) -> Files:
    """Return room for so many files of images of a side.

    Raises LearningError where the disk has none, and OSError where it cannot be written to.
    """
    return _OnDisk(room, count, side) if on_disk and count else _InMemory(count)


class _InMemory:
    def __init__(self, count: int) -> None:
        self._files = [b""] * count

    def put(self, index: int, data: bytes) -> None:
        self._files[index] = data

    def get(self, index: int) -> bytes:
        return self._files[index]

    @property
    def sizes(self) -> list[int]:
        return list(map(len, self._files))


class _OnDisk:
    """One file, in which they follow one another as they come."""

    def __init__(self, room: ImageRoom, count: int, side: int) -> None:
        self._file = ScratchFile(room, count * FILE_BYTES * side**2)
        # Where each file begins, and its bytes.
        self._places = [(0, 0)] * count
        self._end = 0
        self._lock = threading.Lock()

    def put(self, index: int, data: bytes) -> None:
        with self._lock:
            at, self._end = self._end, self._end + len(data)
        self._file.write(data, at)
        self._places[index] = at, len(data)

    def get(self, index: int) -> bytes:
        at, size = self._places[index]
        return self._file.read(size, at)

    @property
    def sizes(self) -> list[int]:
        return [size for _, size in self._places]
