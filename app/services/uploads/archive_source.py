"""An archive as a source of labelled images: one folder for each class."""

from collections.abc import Iterator
from typing import IO

from app.imaging.reading import ImageLimits, TooLargeError, UnreadableImageError, opened
from app.security.archive_members import ArchiveMember, MemberError
from app.security.archive_names import NameEncoding
from app.security.archives import ArchiveKind, members
from app.services.labels import named
from app.services.uploads.folders import FolderTree, Layout, MisplacedError
from app.services.uploads.sources import (
    Found,
    Item,
    Rejection,
    UploadLimits,
    Warned,
    WrappingFolder,
    shown,
)

# Names of images, also of formats that are refused. The bytes of other files must be looked at.
IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".gif"),
    *(".tif", ".tiff", ".heic", ".heif", ".hif", ".avif", ".jp2", ".j2k", ".jpx", ".jpf", ".j2c"),
    *(".jxl", ".svg", ".ico", ".tga"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".psd", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raw"),
)


class ArchiveSource:
    """A zip or tar in a seekable file. `names` is the encoding of names that declare none.

    With `grouped`, folders inside those of the classes are groups.
    """

    def __init__(
        self,
        file: IO[bytes],
        kind: ArchiveKind,
        names: NameEncoding | None = None,
        *,
        grouped: bool = False,
    ) -> None:
        self._file = file
        self._kind = kind
        self._names = names
        self._grouped = grouped

    def items(self, limits: UploadLimits) -> Iterator[Found]:
        """Yield the members, labelled with the name of their folder.

        All names are checked before the first image is read: they determine the layout of the
        folders, and nothing is taken from an unsafe archive (zip slip, zip bomb).
        """
        tree = FolderTree()
        guessed = []
        for member in self._members(limits):
            if member.guessed:
                guessed.append(shown(member.name))
            known = tree.has_images(member.path)
            tree.add(member.path, is_image=known or _is_image(member, limits.image))
        layout = Layout.of(tree, grouped=self._grouped)
        if layout.wrapping:
            yield WrappingFolder("/".join(layout.wrapping))
        if guessed:
            files = "1 file" if len(guessed) == 1 else f"{len(guessed)} files"
            yield Warned(
                f"The zip does not say in which encoding it names {files}: {named(guessed, 3)}. "
                "They are not UTF-8, so they were read as cp437, and classes are named after their "
                "folders. If that looks wrong, send the zip again with ?names= and its encoding, "
                "such as names=cp932 for a Japanese Windows."
            )
        for member in self._members(limits):
            try:
                label, split, group = layout.place_of(member.path)
            except MisplacedError as error:
                yield Rejection(member.name, str(error), error.label)
                continue
            try:
                yield Item(member.name, label, member.read(), split, group)
            except MemberError as error:
                yield Rejection(member.name, str(error), label)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _members(self, limits: UploadLimits) -> Iterator[ArchiveMember]:
        return members(self._file, self._kind, limits.archive, self._names)


def _is_image(member: ArchiveMember, limits: ImageLimits) -> bool:
    if member.name.lower().endswith(IMAGE_SUFFIXES):
        return True
    try:
        with opened(member.read(), limits):
            return True
    except TooLargeError:
        return True
    except (MemberError, UnreadableImageError):
        return False
