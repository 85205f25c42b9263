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
from app.security.archive_names import NameEncoding
from app.security.archive_tar import tar_members
from app.security.archive_zip import zip_members

ArchiveKind = Literal["zip", "tar", "tar.gz"]
ARCHIVE_ERRORS = (UnsafeArchiveError, UnreadableArchiveError)

# What desktops and network storage (Synology's @eaDir) leave beside the files of people.
_JUNK = frozenset(
    {
        "__macosx",
        "@eadir",
        "#recycle",
        "$recycle.bin",
        "system volume information",
        "lost+found",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "icon\r",
        # Beside the exports of Roboflow.
        "readme.roboflow.txt",
        "readme.dataset.txt",
    }
)
_NESTED = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")


def is_junk(name: str) -> bool:
    """Say whether a file or folder of that name is hidden, or one that a desktop leaves behind."""
    return name.startswith(".") or name.lower() in _JUNK


def members(
    file: IO[bytes], kind: ArchiveKind, limits: ArchiveLimits, names: NameEncoding | None = None
) -> Iterator[ArchiveMember]:
    """Yield the archive's files in their order, without junk (`is_junk`).

    `names` is the encoding of names that do not declare theirs. `file` is seekable and read from
    its start, so a second call yields the same members. Raises UnsafeArchiveError and
    UnreadableArchiveError.
    """
    seen: set[tuple[str, ...]] = set()
    with unreadable_if_damaged():
        for member in _read(file, kind, limits, names):
            if any(map(is_junk, member.path)):
                continue
            if member.path in seen:
                yield replace(member, read=refuse("another member has the same name"))
            elif member.name.lower().endswith(_NESTED):
                yield replace(member, read=refuse("an archive within the archive"))
            else:
                yield member
            seen.add(member.path)


def _read(
    file: IO[bytes], kind: ArchiveKind, limits: ArchiveLimits, names: NameEncoding | None
) -> Iterator[ArchiveMember]:
    if kind == "zip":
        return zip_members(file, limits, names)
    return tar_members(file, limits, names, gzipped=kind == "tar.gz")
