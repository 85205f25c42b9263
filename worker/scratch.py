"""A file on disk for what a job has no memory for. It goes with the process, as it has no name."""

import errno
import os
import tempfile

import structlog

from models.errors import LearningError
from worker.room import ImageRoom

log = structlog.get_logger(__name__)

_FULL = (errno.ENOSPC, errno.EDQUOT)
# What is left free of the disk, which may have the database, uploads and checkpoints too: a
# twentieth, and no more than so many bytes.
_SHARE_LEFT = 0.05
_MOST_LEFT = 2 * 1024**3


class ScratchFile:
    """A file in the room's folder, written and read at any position, from any thread.

    Raises LearningError where the disk has no room for `size` bytes, and OSError, which says what
    to do, where the folder cannot be written to.
    """

    def __init__(self, room: ImageRoom, size: int) -> None:
        self._room, self._size = room, size
        try:
            room.folder.mkdir(parents=True, exist_ok=True)
            # Before anything is taken: to run out of room fills the disk for everybody.
            if size > self._free() - self._left_free():
                raise self._no_room()
            self._file = tempfile.TemporaryFile(dir=room.folder, buffering=0)  # noqa: SIM115
            # All of it now: a full disk is said before anything is trained.
            os.posix_fallocate(self._file.fileno(), 0, size)
        except OSError as error:
            raise self._explained(error) from error
        log.info("images_on_disk", bytes=size, folder=str(room.folder))

    def fileno(self) -> int:
        """Return the descriptor of the file."""
        return self._file.fileno()

    def write(self, data: bytes | memoryview, at: int) -> None:
        """Write bytes at a position."""
        left = memoryview(data)
        try:
            while left:  # a disk that runs full may take the first part only, without an error
                written = os.pwrite(self.fileno(), left, at)
                left, at = left[written:], at + written
        except OSError as error:
            raise self._explained(error) from error

    def read(self, size: int, at: int) -> bytes:
        """Return the bytes at a position."""
        return os.pread(self.fileno(), size, at)

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

    def _explained(self, error: OSError) -> Exception:
        """Return what to raise for an error of writing."""
        if error.errno in _FULL:
            return self._no_room()
        return OSError(
            error.errno,
            f"the images take {self._size:,} bytes, more than the {self._room.limit:,} of memory "
            f"that ACCRUE_TRAIN_MEMORY gives them, and the worker cannot write them to "
            f"{self._room.folder}: {error.strerror}; let its user write there or raise "
            "ACCRUE_TRAIN_MEMORY, then retry the job",
        )

    def _no_room(self) -> LearningError:
        return LearningError(
            "scratch-full",
            f"the images take {self._size:,} bytes, more than the {self._room.limit:,} of memory "
            f"that ACCRUE_TRAIN_MEMORY gives them, and {self._room.folder} has no room for them "
            f"({self._free():,} bytes are free, of which {self._left_free():,} are for others)",
        )
