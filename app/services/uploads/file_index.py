"""Finds the files of an archive by the names that documents give them."""

import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from app.services.uploads.files import IMAGE_SUFFIXES
from app.services.uploads.folders import Path

# Folders in which a file must lie alike, at most, where its whole path differs.
_LONGEST_TAIL = 4


class Match(NamedTuple):
    """A file that is named, and whether by its whole path."""

    path: Path
    whole: bool


class FileIndex:
    """Files by their path, and by the last parts of it."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._whole: dict[Path, Path] = {}
        # None: of several files.
        self._tails: dict[Path, Path | None] = {}
        self._stems: dict[str, Path | None] = {}
        for path in paths:
            key = _key(path)
            self._whole[key] = path
            for length in range(1, min(len(key), _LONGEST_TAIL) + 1):
                tail = key[-length:]
                self._tails[tail] = None if tail in self._tails else path
            stem = PurePosixPath(key[-1]).stem
            self._stems[stem] = None if stem in self._stems else path

    def find(self, name: str, folder: Path = ()) -> Match | None:
        """Return the file of that name; None if there is none, or if several may be meant.

        `folder` is where the document lies. A name may be a path from there or from the top, may
        have other folders before it, may be an address as Label Studio writes it, and may lack the
        suffix of an image.
        """
        for read in (str, _of_address):
            parts = _key(tuple(filter(None, read(name).replace("\\", "/").split("/"))))
            found = self._whole.get(_key(folder) + parts) or self._whole.get(parts)
            if found is not None:
                return Match(found, whole=True)
            for length in range(min(len(parts), _LONGEST_TAIL), 0, -1):
                if (tail := parts[-length:]) in self._tails:
                    return _in_part(self._tails[tail])
        if len(parts) == 1 and not parts[0].lower().endswith(IMAGE_SUFFIXES):
            return _in_part(self._stems.get(parts[0]))
        return None


def _in_part(found: Path | None) -> Match | None:
    return None if found is None else Match(found, whole=False)


def _key(path: Path) -> Path:
    """Return a path as files are compared, whatever its depth."""
    return tuple(unicodedata.normalize("NFC", part) for part in path if part != ".")


def _of_address(name: str) -> str:
    """Return the path in an address: ``/data/local-files/?d=cats/1.jpg``, ``s3://cats/1.jpg``."""
    try:
        address = urlsplit(name)
    except ValueError:
        return name
    named = parse_qs(address.query).get("d")
    return named[0] if named else unquote(address.path)
