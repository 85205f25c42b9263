"""Notices that the file of a SQLite database was deleted or replaced while it is open.

A process that has a deleted file open goes on reading and writing it, and all of that is lost when
it ends. The same holds for the write-ahead log and its index beside the file.
"""

import os
from typing import NamedTuple

from sqlalchemy.exc import OperationalError

# The write-ahead log and its index, which exist as long as any connection is open.
_BESIDE = ("-wal", "-shm")


class DatabaseReplacedError(OperationalError):
    """The file of the database is gone, or is not the one that this process has opened."""

    def __init__(self, path: str) -> None:
        why = f"{path} was deleted or replaced while it was open"
        super().__init__(None, None, Exception(why))


class FileId(NamedTuple):
    """What distinguishes a file from another one at the same path."""

    device: int
    inode: int


class SQLiteFile:
    """The file that a process has opened as its database.

    Another file at the same path is refused until the process starts again, even if it is a copy:
    the attempts of jobs in it may be older than those that workers hold.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        # The database, and what else was missed: each must be back before it is opened again.
        # Another process may still write to a log that is gone, and add it to the database when it
        # closes it; a new log would prevent that.
        self._expected: dict[str, FileId] = {}

    def check_before_opening(self) -> None:
        """Refuse to open another file than before, which SQLite would create where none is."""
        self._refuse(self._expected)

    def opened(self) -> dict[str, FileId]:
        """Return the files of a connection that was just opened and has read the database.

        Raises DatabaseReplacedError where one is gone again.
        """
        paths = [self._path, *(self._path + end for end in _BESIDE)]
        files = {path: found for path in paths if (found := _id_of(path)) is not None}
        if len(files) < len(paths):
            raise DatabaseReplacedError(self._path)
        self._expected.setdefault(self._path, files[self._path])
        self.check_before_opening()
        return files

    def check(self, opened: dict[str, FileId]) -> None:
        """Raise DatabaseReplacedError unless each file of a connection is still at its path."""
        self._refuse(opened)

    def _refuse(self, files: dict[str, FileId]) -> None:
        missed = {path: opened for path, opened in files.items() if _id_of(path) != opened}
        if missed:
            self._expected |= missed
            raise DatabaseReplacedError(self._path)


def _id_of(path: str) -> FileId | None:
    """Return None where there is no file."""
    try:
        status = os.stat(path)  # noqa: PTH116 - twice in every transaction
    except FileNotFoundError:
        return None
    return FileId(status.st_dev, status.st_ino)
