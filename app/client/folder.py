"""Streams a folder of class folders as a tar archive, without a temporary file."""

import os
import stat
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from app.client.errors import CommandError
from app.security.archives import is_junk

# Why a file at the top of the folder is skipped.
OUTSIDE = "not in a folder named after a class"

_CHUNK_BYTES = 1 << 20
# A wrapping folder, a split and a class.
_DEEPEST_LINK = 3
_DEEPEST = 100


@dataclass(frozen=True)
class ImageFile:
    """A file and its path in the archive: ``label/name`` or ``split/label/name``."""

    source: Path
    name: str
    size: int


@dataclass(frozen=True)
class Skipped:
    """A file or folder that is not sent, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """The files of all class folders, sorted by path, and what was skipped."""

    images: list[ImageFile]
    skipped: list[Skipped]

    @property
    def emptied(self) -> list[str]:
        """The folders in which files were skipped and none is left to send."""
        sent = {
            str(folder) for image in self.images for folder in PurePosixPath(image.name).parents
        }
        folders = {str(PurePosixPath(skipped.name).parent) for skipped in self.skipped}
        return sorted(folders - sent - {"."})


def find_images(folder: Path) -> Listing:
    """List the files of all class folders, without junk (`is_junk`).

    Follows links to files and to folders of classes. Raises CommandError if `folder` is not a
    folder or has no such files.
    """
    if not folder.is_dir():
        raise CommandError(f"{folder} is not a folder.")
    listing = Listing([], [])
    for found in _walk(folder, (), ()):
        if isinstance(found, Skipped):
            listing.skipped.append(found)
        else:
            listing.images.append(found)
    if not listing.images:
        skipped = [f"  skipped {each.name}: {each.reason}" for each in listing.skipped[:10]]
        lines = [
            f"There are no images in {folder}. Put those of each class into a folder named after "
            "it.",
            *skipped,
        ]
        raise CommandError("\n".join(lines))
    return listing


def _walk(
    folder: Path, path: tuple[str, ...], above: tuple[tuple[int, int], ...]
) -> Iterator[ImageFile | Skipped]:
    """List a folder that is at `path` in the archive, inside the folders `above`."""
    try:
        status = folder.stat()
        entries = sorted(entry.name for entry in folder.iterdir() if not is_junk(entry.name))
    except OSError as error:
        yield Skipped(_shown("/".join(path)), _unreadable(error))
        return
    above = (*above, (status.st_dev, status.st_ino))
    if path and not entries:
        yield Skipped("/".join(path), "an empty folder")
    for entry in entries:
        yield from _list(folder / entry, (*path, entry), above)


def _list(
    source: Path, path: tuple[str, ...], above: tuple[tuple[int, int], ...]
) -> Iterator[ImageFile | Skipped]:
    """List one entry of a folder."""
    name = "/".join(path)
    try:
        status = source.stat()
        is_folder = stat.S_ISDIR(status.st_mode)
        if _shown(path[-1]) != path[-1]:
            reason: str | None = "its name is not UTF-8; rename it"
        elif is_folder:
            reason = _wrong_with_folder(source, path, (status.st_dev, status.st_ino) in above)
        else:
            reason = _wrong_with_file(source, path, status.st_mode)
    except OSError as error:
        reason = _unreadable(error)
    if reason is not None:
        yield Skipped(_shown(name), reason)
    elif is_folder:
        yield from _walk(source, path, above)
    else:
        yield ImageFile(source, name, status.st_size)


def _wrong_with_folder(source: Path, path: tuple[str, ...], in_itself: bool) -> str | None:
    if in_itself:
        return "a link to a folder that it is in"
    # Links that branch further down would multiply the files.
    if source.is_symlink() and len(path) > _DEEPEST_LINK:
        return "a link to a folder, inside a class's folder"
    return "too many folders inside one another" if len(path) > _DEEPEST else None


def _wrong_with_file(source: Path, path: tuple[str, ...], mode: int) -> str | None:
    if not stat.S_ISREG(mode):
        return "not a file"
    if len(path) == 1:
        return OUTSIDE
    return None if os.access(source, os.R_OK) else "cannot be read: permission denied"


def _shown(name: str) -> str:
    """Return a name with bytes that are not UTF-8 as ``\\xe9``."""
    return os.fsencode(name).decode(errors="backslashreplace")


def _unreadable(error: OSError) -> str:
    return f"cannot be read: {(error.strerror or str(error)).lower()}"


class TarStream:
    """The bytes of a tar archive of files, in chunks, and its length in bytes beforehand."""

    def __init__(self, images: Sequence[ImageFile]) -> None:
        self._entries = [(_header(image), image) for image in images]
        self.length = sum(
            len(header) + image.size + _padding(image.size) for header, image in self._entries
        ) + len(_END)

    @property
    def headers(self) -> dict[str, str]:
        """HTTP headers that describe the stream."""
        return {"Content-Type": "application/x-tar", "Content-Length": str(self.length)}

    def __iter__(self) -> Iterator[bytes]:
        for header, image in self._entries:
            yield header
            remaining = image.size
            with image.source.open("rb") as file:
                while remaining and (chunk := file.read(min(_CHUNK_BYTES, remaining))):
                    remaining -= len(chunk)
                    yield chunk
            if remaining:
                raise CommandError(f"{image.source} became shorter while it was sent; try again.")
            yield b"\0" * _padding(image.size)
        yield _END


_END = b"\0" * (2 * tarfile.BLOCKSIZE)


def _header(image: ImageFile) -> bytes:
    info = tarfile.TarInfo(image.name)
    info.size = image.size
    return info.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> int:
    return -size % tarfile.BLOCKSIZE
