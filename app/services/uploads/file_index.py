"""Finds the files of an archive by the names that documents give them."""

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import PurePosixPath
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from app.services.uploads.files import IMAGE_SUFFIXES
from app.services.uploads.folders import Path
from app.services.uploads.sources import Split
from app.services.uploads.splits import split_named

# Folders in which a file must lie alike, at most, where its whole path differs.
_LONGEST_TAIL = 4


class SeveralFilesError(Exception):
    """A name that may mean any of several files."""


class Match(NamedTuple):
    """A file that is named, and whether by its whole path."""

    path: Path
    whole: bool


class FileIndex:
    """Files by their path, and by the last parts of it."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._splits: dict[Split, _ByCapitals] = {}

    def find(self, name: str, folder: Path = (), split: Split | None = None) -> Match | None:
        """Return the file of that name, or None if there is none.

        `folder` is where the document lies. A name may be a path from there or from the top, may
        have other folders before it, may be an address as Label Studio writes it, may have other
        capitals, and may lack the suffix of an image. Of several files it means the one in the
        folder of the document's `split`. Raises SeveralFilesError.
        """
        try:
            return self._all.find(name, folder)
        except SeveralFilesError:
            if split is None:
                raise
            found = self._of(split).find(name, folder)
            if found is None:
                raise
            return found

    @cached_property
    def _all(self) -> "_ByCapitals":
        return _ByCapitals(self._paths)

    def _of(self, split: Split) -> "_ByCapitals":
        """Return the files below a folder of that split."""
        if split not in self._splits:
            within = [path for path in self._paths if split in map(split_named, path[:-1])]
            self._splits[split] = _ByCapitals(within)
        return self._splits[split]


class _ByCapitals:
    """Files by their names as they are written, else whatever their capitals are."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._written = _ByName(paths, str)

    @cached_property
    def _folded(self) -> "_ByName":
        return _ByName(self._paths, str.casefold)

    def find(self, name: str, folder: Path) -> Match | None:
        try:
            found = self._written.find(name, folder)
        except SeveralFilesError:
            if found := self._folded.find_whole(name, folder):
                return found
            raise
        return found or self._folded.find(name, folder)


class _ByName:
    """Files by their names, of which `fold` makes those that are compared."""

    def __init__(self, paths: Iterable[Path], fold: Callable[[str], str]) -> None:
        self._fold = fold
        # None: of several files.
        self._whole: dict[Path, Path | None] = {}
        self._tails: dict[Path, Path | None] = {}
        self._stems: dict[str, Path | None] = {}
        for path in paths:
            key = self._key(path)
            self._whole[key] = None if key in self._whole else path
            for length in range(1, min(len(key), _LONGEST_TAIL) + 1):
                tail = key[-length:]
                self._tails[tail] = None if tail in self._tails else path
            stem = PurePosixPath(key[-1]).stem
            self._stems[stem] = None if stem in self._stems else path

    def find(self, name: str, folder: Path) -> Match | None:
        if found := self.find_whole(name, folder):
            return found
        plain, parts = self._read(name)
        for length in range(_LONGEST_TAIL, 0, -1):
            for tail in (plain[-length:], parts[-length:]):
                if tail in self._tails:
                    return Match(_one(self._tails[tail]), whole=False)
        stem = parts[0] if len(parts) == 1 else ""
        if stem in self._stems and not stem.lower().endswith(IMAGE_SUFFIXES):
            return Match(_one(self._stems[stem]), whole=False)
        return None

    def find_whole(self, name: str, folder: Path) -> Match | None:
        """Return the file at a path from the folder or from the top."""
        for parts in self._read(name):
            for path in (self._key(folder) + parts, parts):
                if path in self._whole:
                    return Match(_one(self._whole[path]), whole=True)
        return None

    def _read(self, name: str) -> tuple[Path, Path]:
        """Return the paths that a name may be: as it is written, and as an address."""
        texts = (name, _of_address(name))
        plain, address = (text.replace("\\", "/").split("/") for text in texts)
        return self._key(filter(None, plain)), self._key(filter(None, address))

    def _key(self, path: Iterable[str]) -> Path:
        """Return a path as files are compared, whatever its depth."""
        return tuple(self._fold(unicodedata.normalize("NFC", part)) for part in path if part != ".")


def _one(found: Path | None) -> Path:
    if found is None:
        raise SeveralFilesError
    return found


def _of_address(name: str) -> str:
    """Return the path in an address: ``/data/local-files/?d=cats/1.jpg``, ``s3://cats/1.jpg``."""
    try:
        address = urlsplit(name)
    except ValueError:
        return name
    named = parse_qs(address.query).get("d")
    return named[0] if named else unquote(address.path)
