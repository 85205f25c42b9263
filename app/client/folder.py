"""Streams a folder of class folders as a tar archive, without a temporary file."""

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.client.errors import CommandError

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class ImageFile:
    """A file and its path in the archive: ``label/name`` or ``split/label/name``."""

    source: Path
    name: str
    size: int


def find_images(folder: Path) -> list[ImageFile]:
    """List the files of all class folders, sorted by path, without hidden files and folders.

    Raises CommandError if `folder` is not a folder or has no such files.
    """
    if not folder.is_dir():
        raise CommandError(f"{folder} is not a folder.")
    images = [
        ImageFile(path, str(path.relative_to(folder)), path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and _belongs(path.relative_to(folder))
    ]
    if not images:
        raise CommandError(
            f"There are no images in {folder}. Put those of each class into a folder named after "
            "it."
        )
    return images


def _belongs(relative: Path) -> bool:
    inside_class = len(relative.parts) > 1
    return inside_class and not any(part.startswith(".") for part in relative.parts)


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
