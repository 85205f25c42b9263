"""Documents in an archive that name the images in it with their classes."""

import re
from collections.abc import Collection, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple, Self

from app.services.labels import named
from app.services.uploads.documents import RepeatedKeyError, UnreadableDocumentError, rows
from app.services.uploads.entries import Entry, entries
from app.services.uploads.file_index import FileIndex, Match, SeveralFilesError
from app.services.uploads.files import Files
from app.services.uploads.folders import MisplacedError, Path, Place
from app.services.uploads.sources import Rejection, Split, shown
from app.services.uploads.splits import split_named

# In test_labels, test-labels and testLabels.
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
# In the name of a table beside the images of a competition: all of them have a made-up class.
_SUBMISSION = "submission"
# Suffixes of documents that have other purposes too.
_ANYTHING = (".json", ".cls")
# Folders that may be those of the splits: not deeper inside others.
_SPLITS_WITHIN = 3


class _Named(NamedTuple):
    """A file that a manifest names: its place, or what is wrong."""

    place: Place | None
    wrong: str | None


class ManifestLayout:
    """What manifests say of the files beside them."""

    wrapping: Path = ()

    def __init__(self) -> None:
        self.notes: list[str] = []
        # What manifests name, and is not there.
        self.missing: list[Rejection] = []
        self._manifests: set[Path] = set()
        self._named: dict[Path, _Named] = {}
        self._split_depth: int | None = None

    @classmethod
    def of(cls, files: Files) -> tuple[Self | None, list[str]]:
        """Return what the manifests say, or None if there are none; and notes on what was not read.

        A manifest counts if at least half of all images are named: a short list beside folders of
        classes is something else.
        """
        if not files.documents:
            return None, []
        layout = cls()
        unread: list[str] = []
        unused: list[str] = []
        index = FileIndex(tuple(files.images))
        for path, content in files.documents.items():
            if _SUBMISSION in path[-1].lower():
                unread.append(f"{_shown(path)} was not read: its classes are made up.")
                continue
            try:
                layout._add(path, list(entries(rows(path[-1], content))), index)
            except UnreadableDocumentError as error:
                # Others may be about anything else.
                if isinstance(error, RepeatedKeyError) or not path[-1].lower().endswith(_ANYTHING):
                    unread.append(f"{_shown(path)} was not read: {error}.")
                    continue
            if path not in layout._manifests:
                unused.append(_shown(path))
        if not layout._named:
            if unused:
                unread.append(
                    f"{named(unused, 3)} does not name these images and their classes, so the "
                    "folders count. A list of images has a column file and a column label."
                )
            return None, unread
        manifests = named([_shown(path) for path in sorted(layout._manifests)], 3)
        if 2 * len(layout._named) < len(files.images):
            of = f"{len(layout._named)} of {len(files.images)} images"
            return None, [*unread, f"{manifests} names {of} only, so the folders count."]
        layout._split_depth = _split_depth(layout._named.keys())
        layout.notes += [*unread, f"Classes are those that {manifests} names, and not the folders."]
        return layout, []

    def _add(self, manifest: Path, found: Sequence[Entry], index: FileIndex) -> None:
        folder, by_name = manifest[:-1], _split_of(manifest)
        matched = [_matched(entry, index, folder, by_name) for entry in found]
        if not any(match for _, match in matched):
            return  # about something else
        self._manifests.add(manifest)
        # A file that is named in whole is not what a row with other folders before it means.
        whole = {match.path for _, match in matched if match and match.whole}
        for entry, match in matched:
            if match is None or (not match.whole and match.path in whole):
                reason = f"{entry.wrong or 'is not there'}, in {_shown(manifest)}"
                self.missing.append(Rejection(entry.file, reason, entry.label))
            else:
                before = self._named.get(match.path)
                self._named[match.path] = _both(before, _as_named(entry, by_name))

    def place_of(self, path: Path) -> Place | None:
        """Return the place of a file; None for a manifest. Raises MisplacedError."""
        if path in self._manifests:
            return None
        place, wrong = self._named.get(path, _Named(None, "is not named in any manifest"))
        if place is None:
            raise MisplacedError(wrong or "")
        if place.split is None and self._split_depth is not None:
            return place._replace(split=split_named(path[self._split_depth]))
        return place


def _matched(
    entry: Entry, index: FileIndex, folder: Path, split: Split | None
) -> tuple[Entry, Match | None]:
    """Return an entry and its file; without one, the entry may say why."""
    try:
        return entry, index.find(entry.file, folder, split)
    except SeveralFilesError:
        wrong = "may be any of several files: name its folders and capitals as they are"
        return entry._replace(wrong=wrong), None


def _shown(path: Path) -> str:
    return shown("/".join(path))


def _as_named(entry: Entry, split: Split | None) -> _Named:
    if entry.label is None:
        return _Named(None, entry.wrong)
    return _Named(Place(entry.label, entry.split or split, entry.group), None)


def _both(before: _Named | None, after: _Named) -> _Named:
    if before is None or before == after:
        return after
    return _Named(None, "has several classes, splits or groups by its manifest")


def _split_of(manifest: Path) -> Split | None:
    """Return the split that a manifest is of, by its name or the folder it is in."""
    words = _WORDS.findall(PurePosixPath(manifest[-1]).stem)
    found = (split_named(name) for name in (*words, *manifest[-2:-1]))
    return next((split for split in found if split is not None), None)


def _split_depth(paths: Collection[Path]) -> int | None:
    """Return the depth at which every file is in the folder of a split."""

    def all_in_splits(depth: int) -> bool:
        return all(len(path) > depth + 1 and split_named(path[depth]) for path in paths)

    return next(filter(all_in_splits, range(_SPLITS_WITHIN)), None)
