"""Sources: what an upload's images are read from, in whichever form they were sent."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, Self

from app.imaging.reading import ImageLimits
from app.security.archive_members import ArchiveLimits
from app.settings import Settings

Split = Literal["train", "test"]
# What names the group of images for which none is given: their upload, or the folder inside that of
# their class.
GroupBy = Literal["upload", "folder"]

MEGABYTE = 10**6
_SHOWN_LENGTH = 300


@dataclass(frozen=True)
class UploadLimits:
    """Limits of one upload."""

    image: ImageLimits
    archive: ArchiveLimits
    images: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the limits of the settings."""
        image_bytes = settings.max_image_megabytes * MEGABYTE
        return cls(
            image=ImageLimits(bytes=image_bytes, pixels=settings.max_image_pixels),
            archive=ArchiveLimits(members=settings.max_upload_images, member_bytes=image_bytes),
            images=settings.max_upload_images,
        )


@dataclass(frozen=True)
class Item:
    """One labelled image as it was sent; its bytes are not checked yet."""

    name: str
    label: str
    data: bytes
    # None where the source does not say: the split of the request applies.
    split: Split | None = None
    # What it was taken in: a video track, a session, a patient.
    group: str | None = None


@dataclass(frozen=True)
class Rejection:
    """A file that is not accepted, and why; its label, if it would have one."""

    name: str
    reason: str
    label: str | None = None


@dataclass(frozen=True)
class WrappingFolder:
    """The folder around the folders of classes, which is not part of any label."""

    name: str


@dataclass(frozen=True)
class Warned:
    """What the client should know of the source as a whole."""

    text: str


Found = Item | Rejection | WrappingFolder | Warned


def shown(name: str) -> str:
    """Return a file's name to store and show: shortened, without control characters."""
    return "".join(
        character if character.isprintable() else "\ufffd" for character in name[:_SHOWN_LENGTH]
    )


class Source(Protocol):
    """Labelled images that are read once, in the order they were sent."""

    def items(self, limits: UploadLimits) -> Iterator[Found]:
        """Yield the images, one in memory at a time; a wrapping folder comes before them.

        Raises ServiceError where the source as a whole is refused.
        """

    def close(self) -> None:
        """Close the files that the source reads."""
