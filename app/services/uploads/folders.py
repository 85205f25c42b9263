"""What the folders of an archive mean: classes, splits, or wrapping folders around them."""

import unicodedata
from dataclasses import dataclass
from typing import NamedTuple, Self, cast, get_args

from app.services.uploads.sources import Split

_SPLITS: tuple[str, ...] = get_args(Split)
# What people and tools name the folders of splits.
_LIKE_SPLITS = frozenset({*_SPLITS, "training", "testing", "val", "valid", "validation", "eval"})
# Folders below this depth do not determine the layout. It bounds memory and time.
_DEEPEST = 10

_Folder = tuple[str, ...]


class MisplacedError(Exception):
    """A file that is not in the folder of a class; `label` is that of a class around its folder."""

    def __init__(self, reason: str, label: str | None = None) -> None:
        super().__init__(reason)
        self.label = label


class FolderTree:
    """The folders that hold files, and which of them have images directly in them."""

    def __init__(self) -> None:
        self._folders: dict[_Folder, bool] = {}

    def has_images(self, path: tuple[str, ...]) -> bool:
        """Say whether the folder of the file at `path` is known to have images."""
        return self._folders.get(_normalised(path[:-1]), False)

    def add(self, path: tuple[str, ...], *, is_image: bool) -> None:
        """Add the file at `path`."""
        folder = _normalised(path[:-1])
        # Files outside any folder are rejected one by one and do not determine the layout.
        if folder:
            is_direct = is_image and len(path) - 1 <= _DEEPEST
            self._folders[folder] = is_direct or self._folders.get(folder, False)

    def inside(self, folder: _Folder) -> dict[str, bool]:
        """Return the names of the folders inside a folder, and whether each has folders inside."""
        depth = len(folder)
        result: dict[str, bool] = {}
        for known in self._folders:
            if len(known) > depth and known[:depth] == folder:
                name = known[depth]
                result[name] = result.get(name, False) or len(known) > depth + 1
        return result

    def is_wrapper(self, folder: _Folder) -> bool:
        """Say whether a folder has only folders inside: one with images is a class."""
        return bool(self.inside(folder)) and not self._folders.get(folder, False)

    def has_splits(self, folder: _Folder) -> bool:
        """Say whether train/ and test/ are the only folders inside and have folders of classes."""
        inside = self.inside(folder)
        if any(name not in _SPLITS for name in inside):
            return False
        nested = sum(inside.values())
        if any(self._folders.get((*folder, name), False) for name in inside):
            # A folder with images is a class, of trains for example. If both have folders inside,
            # they are splits, and these images lie astray.
            return nested == len(_SPLITS)
        return nested > 0


class Place(NamedTuple):
    """What the folders of a file say: its class, its split and its group."""

    label: str
    split: Split | None
    group: str | None


@dataclass(frozen=True)
class Layout:
    """What an archive's folders mean."""

    # The folders around everything, outermost first.
    wrapping: tuple[str, ...]
    # Whether the classes are inside train/ and test/.
    splits: bool
    # Whether folders inside those of the classes are groups.
    grouped: bool = False

    @classmethod
    def of(cls, tree: FolderTree, *, grouped: bool = False) -> Self:
        """Take off the wrapping folders: each is alone and has only folders inside.

        With `grouped` one of these has folders inside: else it is a class, and they are groups.
        """
        wrapping: _Folder = ()
        while not (splits := tree.has_splits(wrapping)):
            inside = tree.inside(wrapping)
            within = (*wrapping, *inside)
            if len(inside) != 1 or not tree.is_wrapper(within):
                break
            if grouped and not (tree.has_splits(within) or any(tree.inside(within).values())):
                break
            wrapping = within
        return cls(wrapping, splits, grouped)

    def place_of(self, path: tuple[str, ...]) -> Place:
        """Return the class, split and group of the file at `path`. Raises MisplacedError."""
        folders = path[len(self.wrapping) : -1]
        split: Split | None = None
        if self.splits and folders:
            split, folders = cast(Split, folders[0]), folders[1:]
        if not folders:
            raise MisplacedError("not in a folder named after a class")
        if len(folders) > 1 and not self.grouped:
            reason = "in a folder inside a class's folder"
            if not self.splits and folders[0].lower() in _LIKE_SPLITS:
                reason += (
                    f"; if {folders[0]!r} is a split and no class, send it in an upload of its own "
                    "with split=train or split=test, or as train/ or test/"
                )
            raise MisplacedError(reason, folders[0])
        return Place(folders[0], split, folders[1] if len(folders) > 1 else None)


def _normalised(folder: _Folder) -> _Folder:
    return tuple(unicodedata.normalize("NFC", name) for name in folder[:_DEEPEST])
