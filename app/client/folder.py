"""A folder of class folders, sent as one tar stream without a temporary file."""

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.client.errors import CommandError

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Member:
    """A file and its path in the archive: ``label/name`` or ``split/label/name``."""

    source: Path
    name: str
    size: int


def find_members(folder: Path) -> list[Member]:
    """List the files of every class folder in order; hidden files and folders are left out.

    Raises CommandError when there is no class folder with a file in it.
    """
    if not folder.is_dir():
        raise CommandError(f"{folder} is not a folder.")
    members = [
        Member(path, str(path.relative_to(folder)), path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and _belongs(path.relative_to(folder))
    ]
    if not members:
        raise CommandError(
            f"No images in {folder}: put those of each class into a folder named after it."
        )
    return members


def _belongs(relative: Path) -> bool:
    inside_class = len(relative.parts) > 1
    return inside_class and not any(part.startswith(".") for part in relative.parts)


class TarStream:
    """Members as the bytes of a tar file, chunk by chunk, with the length known beforehand."""

    def __init__(self, members: Sequence[Member]) -> None:
        self._entries = [(_header(member), member) for member in members]
        self.length = sum(
            len(header) + member.size + _padding(member.size) for header, member in self._entries
        ) + len(_END)

    @property
    def headers(self) -> dict[str, str]:
        """HTTP headers that describe the stream."""
        return {"Content-Type": "application/x-tar", "Content-Length": str(self.length)}

    def __iter__(self) -> Iterator[bytes]:
        for header, member in self._entries:
            yield header
            left = member.size
            with member.source.open("rb") as file:
                while left and (chunk := file.read(min(_CHUNK, left))):
                    left -= len(chunk)
                    yield chunk
            if left:
                raise CommandError(f"{member.source} became shorter while it was sent.")
            yield b"\0" * _padding(member.size)
        yield _END


_END = b"\0" * (2 * tarfile.BLOCKSIZE)


def _header(member: Member) -> bytes:
    info = tarfile.TarInfo(member.name)
    info.size = member.size
    return info.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> int:
    return -size % tarfile.BLOCKSIZE
