"""Members of a tar archive, plain or compressed with gzip."""

import tarfile
from collections.abc import Callable, Iterator
from gzip import GzipFile
from typing import IO, cast

from app.security.archive_members import (
    ArchiveLimits,
    Budget,
    Member,
    UnreadableArchiveError,
    UnsafeArchiveError,
    broken_is_unreadable,
    refuse,
    safe_path,
)

# Headers that tarfile reads at once: names and attributes, never near this.
_HEADER_BYTES = 2**20


class _Forward:
    """A file that is only read forwards, in measured pieces.

    A header can ask tarfile to read gigabytes at once, or to go back and never end. `last` is what
    was read last.
    """

    def __init__(self, file: IO[bytes], largest_read: int, budget: Budget) -> None:
        self._file = file
        self._largest_read = largest_read
        self._budget = budget
        self._at = 0
        self.last = b""

    def read(self, size: int) -> bytes:
        if not 0 <= size <= self._largest_read:
            raise UnsafeArchiveError("A header of the archive asks for too much at once.")
        self.last = self._file.read(size)
        self._advance(self._at + len(self.last))
        return self.last

    def seek(self, position: int) -> int:
        if position < self._at:
            raise UnreadableArchiveError("A header of the archive points backwards.")
        self._advance(position)
        self._file.seek(position)
        return position

    def tell(self) -> int:
        return self._at

    def _advance(self, position: int) -> None:
        self._budget.take(position - self._at)
        self._at = position


def tar_members(file: IO[bytes], limits: ArchiveLimits, *, gzipped: bool) -> Iterator[Member]:
    """Yield the files of a tar, each name checked as it comes."""
    sent = file.seek(0, 2)
    file.seek(0)
    stream = cast(IO[bytes], GzipFile(fileobj=file, mode="rb")) if gzipped else file
    forward = _Forward(stream, max(limits.member_bytes + 1, _HEADER_BYTES), Budget(sent, limits))
    with tarfile.open(
        fileobj=cast(IO[bytes], forward), mode="r:", encoding="utf-8", errors="replace"
    ) as archive:
        count = 0
        while (entry := archive.next()) is not None:
            count += 1
            if count > limits.members:
                raise UnsafeArchiveError(f"The archive has more than {limits.members} members.")
            path = safe_path(entry.name)
            if not entry.isdir():
                yield Member(path, _reader(archive, entry, limits))
        # tarfile takes a header that it does not understand for the end; the real one is zeros.
        if forward.last.strip(b"\0"):
            raise UnreadableArchiveError("The archive is damaged.")
        # To the end, where gzip keeps its checksum.
        while forward.read(_HEADER_BYTES):
            pass


def _reader(
    archive: tarfile.TarFile, entry: tarfile.TarInfo, limits: ArchiveLimits
) -> Callable[[], bytes]:
    if not entry.isreg() or entry.issparse():
        return refuse("a link, device or sparse file, not a plain one")
    if entry.size > limits.member_bytes:
        return refuse(f"larger than {limits.member_bytes} bytes")

    def read() -> bytes:
        with broken_is_unreadable():
            file = archive.extractfile(entry)
            assert file is not None  # noqa: S101 - it is a regular file
            return file.read()

    return read
