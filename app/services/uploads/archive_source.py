"""An archive as a source of labelled images, arranged in one of the ways of `arrangement`."""

from collections.abc import Iterator
from typing import IO

from app.imaging.reading import ImageLimits, TooLargeError, UnreadableImageError, opened
from app.security.archive_members import ArchiveMember, MemberError
from app.security.archive_names import NameEncoding
from app.security.archives import ArchiveKind, members
from app.services.labels import named
from app.services.uploads.arrangement import arranged, not_understood
from app.services.uploads.collecting import NoUsableImagesError
from app.services.uploads.files import IMAGE_SUFFIXES, Files, is_document
from app.services.uploads.folders import MisplacedError
from app.services.uploads.sources import (
    Found,
    Item,
    Rejection,
    UploadLimits,
    Warned,
    WrappingFolder,
    shown,
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
        """Yield the members, labelled by how the archive is arranged.

        All names are checked before the first image is read: they determine the arrangement, and
        nothing is taken from an unsafe archive (zip slip, zip bomb). Raises NoUsableImagesError
        where no image has a place.
        """
        files = Files()
        guessed = []
        for member in self._members(limits):
            if member.guessed:
                guessed.append(shown(member.name))
            if is_document(member.path):
                try:
                    files.add_document(member.path, member.read)
                except MemberError as error:
                    files.left_out[member.path] = str(error)
            else:
                known = files.tree.has_images(member.path)
                files.add(member.path, is_image=known or _is_image(member, limits.image))
        arrangement, notes = arranged(files, grouped=self._grouped)
        if wrong := not_understood(files, arrangement):
            raise NoUsableImagesError(wrong)
        if arrangement.wrapping:
            yield WrappingFolder("/".join(arrangement.wrapping))
        yield from map(Warned, notes)
        if guessed:
            count = "1 file" if len(guessed) == 1 else f"{len(guessed)} files"
            yield Warned(
                f"The zip does not say in which encoding it names {count}: {named(guessed, 3)}. "
                "They are not UTF-8, so they were read as cp437, and classes are named after their "
                "folders. If that looks wrong, send the zip again with ?names= and its encoding, "
                "such as names=cp932 for a Japanese Windows."
            )
        for member in self._members(limits):
            try:
                place = arrangement.place_of(member.path)
            except MisplacedError as error:
                yield Rejection(member.name, str(error), error.label)
                continue
            if place is None:
                continue
            try:
                yield Item(member.name, place.label, member.read(), place.split, place.group)
            except MemberError as error:
                yield Rejection(member.name, str(error), place.label)
        yield from arrangement.missing

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
