"""Members of a zip archive."""

import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from typing import IO

from app.security.archive_members import (
    JOINED,
    ArchiveLimits,
    ArchiveMember,
    InflationBudget,
    MemberError,
    UnreadableArchiveError,
    UnsafeArchiveError,
    refuse,
    safe_path,
)
from app.security.archive_names import NameEncoding, is_guess, zip_name

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED_FLAG = 0x1
_LOCAL_HEADER_BYTES = 30

# The end record of a zip, and the offset of the directory's size in it and in its zip64 form.
_END = b"PK\x05\x06"
_END_BYTES, _END_COMMENT_BYTES, _END_SIZE_OFFSET = 22, 65535, 12
_LOCATOR64 = b"PK\x06\x07"
_LOCATOR64_BYTES, _END64_BYTES, _END64_SIZE_OFFSET = 20, 56, 40
# Room for an entry's fixed part, a name of ordinary length and the usual extra fields.
_DIRECTORY_ENTRY_BYTES = 512


def zip_members(
    file: IO[bytes], limits: ArchiveLimits, names: NameEncoding | None = None
) -> Iterator[ArchiveMember]:
    """Yield the files of a zip. All names and offsets are checked before the first is yielded."""
    sent = file.seek(0, 2)
    if _directory_bytes(file, sent) > limits.members * _DIRECTORY_ENTRY_BYTES:
        raise UnsafeArchiveError("The archive's directory is too large.")
    file.seek(0)
    budget = InflationBudget(sent, limits)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if len(entries) > limits.members:
            raise UnsafeArchiveError(f"The archive has more than {limits.members} members.")
        named = [_name(entry, names) for entry in entries]
        paths = [safe_path(name) for name, _ in named]
        _refuse_overlaps(entries, archive.start_dir)
        begins = min((entry.header_offset for entry in entries), default=archive.start_dir)
        _refuse_joined(file, begins)
        for entry, (name, wrong), path in zip(entries, named, paths, strict=True):
            if name.endswith(("/", "\\")):
                continue  # a folder
            read = refuse(wrong) if wrong else _reader(archive, entry, limits, budget)
            yield ArchiveMember(path, read, is_guess(entry, names))


def _name(entry: zipfile.ZipInfo, names: NameEncoding | None) -> tuple[str, str | None]:
    """Return a member's name, and what is wrong with it."""
    try:
        return zip_name(entry, names), None
    except UnicodeDecodeError:
        # Uncut: `filename` ends at a NUL.
        return entry.orig_filename, f"its name is not {names}"


def _reader(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, limits: ArchiveLimits, budget: InflationBudget
) -> Callable[[], bytes]:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        return refuse("a link or device; only plain files are read")
    if entry.flag_bits & _ENCRYPTED_FLAG:
        return refuse("encrypted: pack it without a password")
    if entry.compress_type not in _METHODS:
        return refuse("compressed by a method other than deflate: pack it with that")

    def read() -> bytes:
        try:
            with archive.open(entry) as file:
                data = file.read(limits.member_bytes + 1)
        except Exception as error:  # damaged members make the reader raise nearly any error
            raise MemberError("damaged in the archive: pack it again") from error
        budget.take(len(data))
        if len(data) > limits.member_bytes:
            raise MemberError(f"larger than {limits.member_bytes} bytes")
        return data

    return read


def _refuse_overlaps(entries: list[zipfile.ZipInfo], directory_at: int) -> None:
    """Refuse members that share bytes: an overlapping zip bomb inflates to any size."""
    by_offset = sorted(entries, key=lambda entry: entry.header_offset)
    starts = [entry.header_offset for entry in by_offset] + [directory_at]
    for entry, following in zip(by_offset, starts[1:], strict=True):
        name_bytes = len(
            entry.orig_filename.encode("utf-8" if entry.flag_bits & 0x800 else "cp437")
        )
        end = entry.header_offset + _LOCAL_HEADER_BYTES + name_bytes + entry.compress_size
        if end > following:
            raise UnsafeArchiveError("Members of the archive overlap.")


def _refuse_joined(file: IO[bytes], begins: int) -> None:
    """Refuse a zip behind another one (`cat a.zip b.zip`), of which zipfile reads the last only.

    Other bytes before the first member, which is at `begins`, are harmless.
    """
    looked_at = min(begins, _END_BYTES + _END_COMMENT_BYTES)
    file.seek(begins - looked_at)
    if _END in file.read(looked_at):
        raise UnreadableArchiveError(JOINED)


def _directory_bytes(file: IO[bytes], sent: int) -> int:
    """Return the size of the central directory, which zipfile reads into memory as a whole."""
    tail_bytes = min(sent, _END_BYTES + _END_COMMENT_BYTES + _LOCATOR64_BYTES + _END64_BYTES)
    file.seek(sent - tail_bytes)
    tail = file.read(tail_bytes)
    end = tail.rfind(_END)
    if end < 0 or end + _END_BYTES > len(tail):
        raise UnreadableArchiveError(
            "The zip archive has no directory at its end, so it was cut off. Send it again."
        )
    locator = end - _LOCATOR64_BYTES
    end64 = locator - _END64_BYTES
    if end64 >= 0 and tail[locator:].startswith(_LOCATOR64):
        (size,) = struct.unpack_from("<Q", tail, end64 + _END64_SIZE_OFFSET)
    else:
        (size,) = struct.unpack_from("<I", tail, end + _END_SIZE_OFFSET)
    return int(size)
