"""An archive as a source of labelled images: one folder for each class."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Self, cast, get_args

from app.security.archive_members import MemberError
from app.security.archives import ArchiveKind, members
from app.services.uploads.sources import Item, Rejection, Split, UploadLimits

_SPLITS: tuple[str, ...] = get_args(Split)


class ArchiveSource:
    """A zip or tar in a seekable file."""

    def __init__(self, file: IO[bytes], kind: ArchiveKind) -> None:
        self._file = file
        self._kind = kind

    def items(self, limits: UploadLimits) -> Iterator[Item | Rejection]:
        """Yield the members, labelled with the name of their folder.

        All names are checked before the first image is read: they determine the layout of the
        folders, and nothing is taken from an unsafe archive (zip slip, zip bomb).
        """
        layout = _Layout.of(
            member.path for member in members(self._file, self._kind, limits.archive)
        )
        for member in members(self._file, self._kind, limits.archive):
            try:
                label, split = layout.class_of(member.path)
                yield Item(member.name, label, member.read(), split)
            except (_MisplacedError, MemberError) as error:
                yield Rejection(member.name, str(error))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _MisplacedError(Exception):
    """A file that is not in the folder of a class."""


@dataclass(frozen=True)
class _Layout:
    """What an archive's folders mean."""

    # Number of folders around everything: 0 or 1.
    wrapping: int
    # Whether the classes are inside train/ and test/.
    splits: bool

    @classmethod
    def of(cls, paths: Iterable[tuple[str, ...]]) -> Self:
        # Files outside any folder are rejected one by one and do not determine the layout.
        known = {path[:4] for path in paths if len(path) > 1}
        if _has_splits(known):
            return cls(wrapping=0, splits=True)
        if len({path[0] for path in known}) == 1 and any(len(path) > 2 for path in known):
            return cls(wrapping=1, splits=_has_splits({path[1:] for path in known}))
        return cls(wrapping=0, splits=False)

    def class_of(self, path: tuple[str, ...]) -> tuple[str, Split | None]:
        """Return a member's class and split. Raises _MisplacedError."""
        folders = path[self.wrapping : -1]
        split: Split | None = None
        if self.splits and folders:
            split, folders = cast(Split, folders[0]), folders[1:]
        if not folders:
            raise _MisplacedError("not in a folder named after a class")
        if len(folders) > 1:
            raise _MisplacedError("in a folder inside a class's folder")
        return folders[0], split


def _has_splits(paths: set[tuple[str, ...]]) -> bool:
    """Say whether train/ and test/ are the only folders and contain folders of classes."""
    inside = [path for path in paths if len(path) > 1]
    return all(path[0] in _SPLITS for path in inside) and any(len(path) > 2 for path in inside)
