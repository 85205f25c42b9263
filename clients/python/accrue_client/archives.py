"""Files that hold images: zips, tars, and Parquet."""

import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from os import PathLike
from pathlib import Path

from accrue_client.layouts import DOCUMENTS, MOST_BYTES, NamedFile
from accrue_client.sources import Split

_MEDIA_TYPES = {
    ".zip": "application/zip",
    ".tar": "application/x-tar",
    ".gz": "application/gzip",
    ".tgz": "application/gzip",
    ".parquet": "application/vnd.apache.parquet",
}
_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".parquet")
# What lies beside the files of a data set that is in several.
_SHARDS = (".tar", ".tar.gz", ".parquet")
_NOTES = (".md", ".txt", ".json", ".yaml", ".yml")
_TESTS = ("test", "val", "valid", "validation", "eval")


def is_archive(source: object) -> bool:
    """Say whether a source is the path of such a file."""
    return isinstance(source, (str, PathLike)) and str(source).lower().endswith(_SUFFIXES)


def media_type(archive: Path) -> str:
    """Return the media type under which it is sent."""
    return _MEDIA_TYPES[archive.suffix.lower()]


def shards_in(folder: Path) -> list[Path]:
    """Return the archives of a folder in which a data set lies in several; none of another one."""
    shards = []
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if hidden or path.is_dir() or path.name.lower().endswith(_NOTES):
            continue
        if not path.name.lower().endswith(_SHARDS):
            return []
        shards.append(path)
    return sorted(shards)


def split_of(shard: Path) -> Split:
    """Return the split that a shard is of, by the beginning of its name: ``test-00000.tar``."""
    word = re.split(r"[-_.\d]", shard.name.lower(), maxsplit=1)[0]
    return "test" if word in _TESTS else "train"


def files_in(archive: Path, most: int) -> list[NamedFile]:
    """Return up to `most` files of an archive; none for Parquet, which names no files.

    Raises OSError, or what the modules for archives raise, where it cannot be read.
    """
    left = MOST_BYTES
    named = []
    for name, size, read in islice(_members(archive), most):
        content = b""
        if name.lower().endswith(DOCUMENTS) and size <= left:
            content = read()
            left -= len(content)
        named.append(NamedFile(name, lambda content=content: content))  # type: ignore[misc]
    return named


def _members(archive: Path) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    """Yield the name of each file, its size, and what reads it, before the next is taken."""
    if archive.suffix.lower() == ".zip":
        with zipfile.ZipFile(archive) as opened:
            for entry in opened.infolist():
                if not entry.is_dir():
                    yield entry.filename, entry.file_size, partial(opened.read, entry)
    elif archive.suffix.lower() != ".parquet":
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.isfile():
                    name = member.name.encode(errors="surrogateescape").decode(errors="replace")
                    yield name, member.size, partial(_read, tar, member)


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return b"" if file is None else file.read()
