"""Making what was written durable: it survives a power failure."""

import ctypes
import os
import sys
from pathlib import Path
from typing import Self


def sync(path: Path) -> None:
    """Flush a file, or the entries of a folder, to the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class FileSystem:
    """The file system that holds a folder, flushed as a whole: one wait for many files.

    Open it before the files are written, as Linux tells each descriptor of the errors since it was
    opened.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Self:
        self._descriptor = os.open(self._folder, os.O_RDONLY)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def sync(self) -> None:
        """Flush everything that was written to the file system. Raises OSError."""
        if sys.platform != "linux":
            os.sync()
        elif _LIBC.syncfs(self._descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(self._folder))


_LIBC = ctypes.CDLL(None, use_errno=True)
