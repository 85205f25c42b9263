"""What an upload is read from, whatever the form in which it was sent."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, Self

from app.imaging.reading import ImageLimits
from app.security.archive_members import ArchiveLimits
from app.settings import Settings

Split = Literal["train", "test"]

MEGABYTE = 10**6
_SHOWN_LENGTH = 300


@dataclass(frozen=True)
class UploadLimits:
    """Bounds of one upload."""

    image: ImageLimits
    archive: ArchiveLimits
    images: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the limits that the settings ask for."""
        image_bytes = settings.max_image_megabytes * MEGABYTE
        return cls(
            image=ImageLimits(bytes=image_bytes, pixels=settings.max_image_pixels),
            archive=ArchiveLimits(members=settings.max_upload_images, member_bytes=image_bytes),
            images=settings.max_upload_images,
        )


@dataclass(frozen=True)
class Item:
    """One labelled image as it was sent: its bytes are not looked at yet."""

    name: str
    label: str
    data: bytes
    # None where the source does not say: the request's own split.
    split: Split | None = None


@dataclass(frozen=True)
class Rejection:
    """One thing that is not taken, and why."""

    name: str
    reason: str


def shown(name: str) -> str:
    """Return a file's name as it can be kept in a database and shown: short, without controls."""
    return "".join(
        character if character.isprintable() else "\ufffd" for character in name[:_SHOWN_LENGTH]
    )


class Source(Protocol):
    """Labelled images to be read once, in the order they were sent."""

    def items(self, limits: UploadLimits) -> Iterator[Item | Rejection]:
        """Yield what was sent, one image in memory at a time.

        Raises ServiceError where the source as a whole is refused.
        """

    def close(self) -> None:
        """Give back the files behind the source."""
