"""Members of zip and tar archives, read one by one and never unpacked to disk.

An archive is refused as a whole for zip slip (path traversal) and as a zip bomb. Members that
cannot be read are refused one by one if the rest can still be used.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import IO, Literal

from app.security.archive_members import (
    ArchiveLimits,
    ArchiveMember,
    UnreadableArchiveError,
    UnsafeArchiveError,
    refuse,
    unreadable_if_damaged,
)
from app.security.archive_tar import tar_members
from app.security.archive_zip import zip_members

ArchiveKind = Literal["zip", "tar", "tar.gz"]
ARCHIVE_ERRORS = (UnsafeArchiveError, UnreadableArchiveError)

_JUNK = ("__MACOSX", "Thumbs.db", "desktop.ini")
_NESTED = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")


def members(file: IO[bytes], kind: ArchiveKind, limits: ArchiveLimits) -> Iterator[ArchiveMember]:
    """Yield the archive's files in their order, without the hidden files of desktops.

    `file` is seekable and read from its start, so a second call yields the same members. Raises
    UnsafeArchiveError and UnreadableArchiveError.
    """
    seen: set[str] = set()
    with unreadable_if_damaged():
        for member in _read(file, kind, limits):
            if any(part.startswith(".") or part in _JUNK for part in member.path):
                continue
            if member.name in seen:
                yield replace(member, read=refuse("another member has the same name"))
            elif member.name.lower().endswith(_NESTED):
                yield replace(member, read=refuse("an archive within the archive"))
            else:
                yield member
            seen.add(member.name)


def _read(file: IO[bytes], kind: ArchiveKind, limits: ArchiveLimits) -> Iterator[ArchiveMember]:
    if kind == "zip":
        return zip_members(file, limits)
    return tar_members(file, limits, gzipped=kind == "tar.gz")
