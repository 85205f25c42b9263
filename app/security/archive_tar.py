"""Members of a tar archive, plain or compressed with gzip."""

import tarfile
from collections.abc import Callable, Iterator
from gzip import GzipFile
from typing import IO, cast

from app.security.archive_members import (
    JOINED,
    ArchiveLimits,
    ArchiveMember,
    InflationBudget,
    UnreadableArchiveError,
    UnsafeArchiveError,
    refuse,
    safe_path,
    split_path,
    unreadable_if_damaged,
)
from app.security.archive_names import NameEncoding, tar_name

# Headers that tarfile reads at once: names and attributes, never near this.
_HEADER_BYTES = 2**20


class _ForwardFile:
    """A file that can only be read forwards, in bounded chunks.

    A header can make tarfile read gigabytes at once, or seek backwards for ever. `last` is the
    chunk that was read last.
    """

    def __init__(self, file: IO[bytes], largest_read: int, budget: InflationBudget) -> None:
        self._file = file
        self._largest_read = largest_read
        self._budget = budget
        self._position = 0
        self.last = b""

    def read(self, size: int) -> bytes:
        if not 0 <= size <= self._largest_read:
            raise UnsafeArchiveError("A header of the archive declares too much data.")
        self.last = self._file.read(size)
        self._advance(self._position + len(self.last))
        return self.last

    def seek(self, position: int) -> int:
        if position < self._position:
            raise UnreadableArchiveError("A header of the archive points backwards.")
        self._advance(position)
        self._file.seek(position)
        return position

    def tell(self) -> int:
        return self._position

    def _advance(self, position: int) -> None:
        self._budget.take(position - self._position)
        self._position = position


def tar_members(
    file: IO[bytes],
    limits: ArchiveLimits,
    names: NameEncoding | None = None,
    *,
    gzipped: bool,
) -> Iterator[ArchiveMember]:
    """Yield the files of a tar. Each name is checked when it is reached."""
    sent = file.seek(0, 2)
    file.seek(0)
    stream = cast(IO[bytes], GzipFile(fileobj=file, mode="rb")) if gzipped else file
    forward = _ForwardFile(
        stream, max(limits.member_bytes + 1, _HEADER_BYTES), InflationBudget(sent, limits)
    )
    with tarfile.open(
        fileobj=cast(IO[bytes], forward), mode="r:", encoding="utf-8", errors="surrogateescape"
    ) as archive:
        count = 0
        while (entry := archive.next()) is not None:
            count += 1
            if count > limits.members:
                raise UnsafeArchiveError(f"The archive has more than {limits.members} members.")
            name, wrong = _name(entry, names)
            safe_path(name)
            if entry.isdir():
                continue
            read = refuse(wrong) if wrong else _reader(archive, entry, limits)
            yield ArchiveMember(split_path(name), read)
        # tarfile takes an invalid header, or none, for the end of the archive, which is zeros.
        if not forward.last:
            raise UnreadableArchiveError(
                "The tar archive has no end mark, so it was cut off. Pack it again."
            )
        if forward.last.strip(b"\0"):
            raise UnreadableArchiveError("The archive is damaged. Pack it again.")
        # Read to the end, where gzip checks its checksum.
        while rest := forward.read(_HEADER_BYTES):
            if rest.strip(b"\0"):
                raise UnreadableArchiveError(JOINED)


def _name(entry: tarfile.TarInfo, names: NameEncoding | None) -> tuple[str, str | None]:
    """Return a member's name, and what is wrong with it."""
    declared = "path" in entry.pax_headers and entry.pax_headers.get("hdrcharset") != "BINARY"
    try:
        name = tar_name(entry.name, names, declared=declared)
    except UnicodeDecodeError:
        return entry.name, f"its name is not {'UTF-8' if declared else names or 'UTF-8'}"
    # A tar comes from a system where a backslash is a character of names.
    return name, "its name has a backslash; rename it" if "\\" in name else None


def _reader(
    archive: tarfile.TarFile, entry: tarfile.TarInfo, limits: ArchiveLimits
) -> Callable[[], bytes]:
    if not entry.isreg() or entry.issparse():
        return refuse("a link, device or sparse file; only plain files are read")
    if entry.size > limits.member_bytes:
        return refuse(f"larger than {limits.member_bytes} bytes")

    def read() -> bytes:
        with unreadable_if_damaged():
            file = archive.extractfile(entry)
            assert file is not None  # noqa: S101 - it is a regular file
            return file.read()

    return read
