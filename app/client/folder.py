"""Lists a folder of class folders as a comparison reads it: it must not leave an image out."""

from dataclasses import dataclass
from pathlib import Path

from accrue_client.errors import InvalidSourceError
from accrue_client.folders import list_folder

from app.client.errors import CommandError


@dataclass(frozen=True)
class ImageFile:
    """A file and its path below the folder: ``label/name`` or ``split/label/name``."""

    source: Path
    name: str
    size: int


def find_images(folder: Path) -> list[ImageFile]:
    """List the files of all class folders, sorted by path, without what desktops leave behind.

    Files beside the class folders are passed over. Raises CommandError if `folder` is not a folder,
    has no such files, or has one that cannot be read.
    """
    try:
        listing = list_folder(folder)
    except InvalidSourceError as error:
        raise CommandError(str(error)) from error
    for skipped in listing.skipped:
        raise CommandError(f"{folder}: {skipped.name} cannot be used: {skipped.reason}.")
    images = [
        ImageFile(file.source, file.name, file.size) for file in listing.files if "/" in file.name
    ]
    if not images:
        raise CommandError(
            f"There are no images in {folder}. Put those of each class into a folder named after "
            "it."
        )
    return images
