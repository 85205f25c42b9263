"""What the folders of an archive mean: classes, splits, or wrapping folders around them."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

from app.services.labels import named
from app.services.uploads.sources import Rejection, Split
from app.services.uploads.splits import split_named

# Folders below this depth do not determine the layout. It bounds memory and time.
_DEEPEST = 10
# Names of splits of which nothing is said: they are ours.
_OWN = ("train", "test")

Path = tuple[str, ...]


class MisplacedError(Exception):
    """A file that is not in the folder of a class; `label` is that of a class around its folder."""

    def __init__(self, reason: str, label: str | None = None) -> None:
        super().__init__(reason)
        self.label = label


class FolderTree:
    """The folders that hold files, and which of them have images directly in them.

    Nothing is added after it has been asked what is inside a folder.
    """

    def __init__(self) -> None:
        self._folders: dict[Path, bool] = {}

    def has_images(self, path: Path) -> bool:
        """Say whether the folder of the file at `path` is known to have images."""
        return self._folders.get(normalised(path[:-1]), False)

    def add(self, path: Path, *, is_image: bool) -> None:
        """Add the file at `path`."""
        folder = normalised(path[:-1])
        # Files outside any folder are rejected one by one and do not determine the layout.
        if folder:
            is_direct = is_image and len(path) - 1 <= _DEEPEST
            self._folders[folder] = is_direct or self._folders.get(folder, False)

    @cached_property
    def with_images(self) -> tuple[Path, ...]:
        """The folders that have images directly in them; all folders if none has."""
        found = tuple(folder for folder, has_images in self._folders.items() if has_images)
        return found or tuple(self._folders)

    def inside(self, folder: Path) -> dict[str, bool]:
        """Return the names of the folders inside a folder, and whether each has folders inside.

        Those without an image in them or further inside are left out, such as one of notes.
        """
        depth = len(folder)
        result: dict[str, bool] = {}
        for known in self.with_images:
            if len(known) > depth and known[:depth] == folder:
                name = known[depth]
                result[name] = result.get(name, False) or len(known) > depth + 1
        return result

    def is_wrapper(self, folder: Path) -> bool:
        """Say whether a folder has only folders inside: one with images is a class."""
        return bool(self.inside(folder)) and not self._folders.get(folder, False)

    def has_splits(self, folder: Path) -> bool:
        """Say whether the folders inside are splits with folders of classes.

        They are the only ones, or both splits are there and have nothing but folders. What is
        beside these, such as images without classes, lies astray.
        """
        inside = self.inside(folder)
        direct = {name: self._folders.get((*folder, name), False) for name in inside}
        splits = {split_named(name) for name in inside}
        if None in splits:
            named_so = [name for name in inside if split_named(name)]
            pure = all(inside[name] and not direct[name] for name in named_so)
            return splits >= {"train", "test"} and pure
        nested = sum(inside.values())
        if any(direct.values()):
            # A folder with images is a class, of trains for example. If all of several have folders
            # inside, they are splits, and these images lie astray; as are those of test images
            # without classes, beside a split that has nothing but folders.
            alone = any(inside[name] and not direct[name] for name in inside)
            return nested == len(inside) > 1 or alone
        return nested > 0


class Place(NamedTuple):
    """What is known of a file before it is read: its class, its split and its group."""

    label: str
    split: Split | None
    group: str | None


@dataclass(frozen=True)
class FolderLayout:
    """What an archive's folders mean."""

    # The folders around everything, outermost first.
    wrapping: Path
    # Whether the folders in them are splits, and not classes.
    splits: bool
    # The names of these folders.
    names: tuple[str, ...]
    # Whether folders inside those of the classes are groups.
    grouped: bool = False
    # The folder in that of each class in which all images are.
    within: str | None = None

    @classmethod
    def of(cls, tree: FolderTree, *, grouped: bool = False) -> Self:
        """Take off the wrapping folders: each is alone and has only folders inside.

        With `grouped` one of these has folders inside: else it is a class, and they are groups.
        """
        wrapping: Path = ()
        while not (splits := tree.has_splits(wrapping)):
            inside = tree.inside(wrapping)
            within = (*wrapping, *inside)
            if len(inside) != 1 or not tree.is_wrapper(within):
                break
            if grouped and not (tree.has_splits(within) or any(tree.inside(within).values())):
                break
            wrapping = within
        names = tuple(tree.inside(wrapping))
        depth = len(wrapping) + splits
        only = None if grouped else _only_folder([each[depth:] for each in tree.with_images])
        return cls(wrapping, splits, names, grouped, only)

    @property
    def notes(self) -> Iterator[str]:
        """What the folders were taken for, where it is not plain."""
        if not self.splits and len(self.names) > 1 and all(map(split_named, self.names)):
            yield f"{named(self.names)} are classes, as images are in them and not in folders."
        tests = [name for name in self.names if split_named(name) == "test" and name not in _OWN]
        if self.splits and tests:
            yield f"Images in {named(tests)} are test images: measured on, and not learnt."
        if self.within is not None:
            yield f"The folder {self.within!r} in that of each class was passed over."

    @property
    def missing(self) -> Sequence[Rejection]:
        """Files that should be there: folders name none."""
        return ()

    def place_of(self, path: Path) -> Place:
        """Return the class, split and group of the file at `path`. Raises MisplacedError."""
        depth = len(self.wrapping)
        folders = path[depth:-1]
        split: Split | None = None
        inside = normalised(path[:depth]) == self.wrapping
        if self.splits and folders:
            split, folders = split_named(folders[0]), folders[1:]
            inside = inside and split is not None
        if not folders or not inside:
            raise MisplacedError("not in a folder named after a class")
        if self.within is not None and len(folders) == 2:
            folders = folders[:1]
        if len(folders) > 1 and not self.grouped:
            raise MisplacedError("in a folder inside a class's folder", folders[0])
        return Place(folders[0], split, folders[1] if len(folders) > 1 else None)


def _only_folder(folders: Sequence[Path]) -> str | None:
    """Return the name of the only folder in those of all classes, if it has all of their images.

    `folders` are those with images, in that of a split or of all classes.
    """
    classes = {folder[:1] for folder in folders}
    inner = {folder[1:] for folder in folders}
    if len(classes) < 2 or len(inner) != 1:
        return None
    (names,) = inner
    return names[0] if len(names) == 1 else None


def normalised(folder: Path) -> Path:
    """Return a folder as folders are compared: as one writes it, by Unicode's normal form NFC."""
    return tuple(unicodedata.normalize("NFC", name) for name in folder[:_DEEPEST])
