"""What the names of files say before the files are sent: each one's class, split and group."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, Field

from app.security.archives import is_junk
from app.services.labels import clean_group, clean_label
from app.services.requests import RequestBody
from app.services.uploads.archive_source import IMAGE_SUFFIXES
from app.services.uploads.folders import FolderTree, Layout, MisplacedError, Place
from app.services.uploads.sources import GroupBy, Split

# Files in one request, whatever an upload may hold: their names must fit into memory.
MOST_FILES = 200_000
_LONGEST_NAME = 4096


class NamedFile(RequestBody):
    """A file that is to be sent."""

    name: Annotated[str, Field(max_length=_LONGEST_NAME)] = Field(
        description="Its path, with slashes."
    )
    image: bool | None = Field(
        None,
        description="Whether its first bytes are an image's; null: by its suffix.",
    )


class LayoutRequest(RequestBody):
    """Names of files in class folders."""

    files: Annotated[list[NamedFile], Field(min_length=1, max_length=MOST_FILES)]
    group: GroupBy | None = None


class PlaceView(BaseModel):
    """What the folders of a file say. Without a label, the file is not taken."""

    label: str | None
    split: Split | None = Field(description="Null: that of the request.")
    group: str | None
    reason: str | None = Field(description="Why the file is not taken.")


class LayoutView(BaseModel):
    """What becomes of files, in their order."""

    wrapping_folder: str | None
    classes: dict[str, int]
    places: list[PlaceView]


def lay_out(request: LayoutRequest) -> LayoutView:
    """Read the layout of folders, as that of an archive is read, from the names alone."""
    grouped = request.group == "folder"
    paths = [_path(file.name) for file in request.files]
    tree = FolderTree()
    for file, path in zip(request.files, paths, strict=True):
        if not _passed_over(path):
            is_image = file.name.lower().endswith(IMAGE_SUFFIXES) or bool(file.image)
            tree.add(path, is_image=is_image)
    layout = Layout.of(tree, grouped=grouped)
    places = [_place(layout, path) for path in paths]
    return LayoutView(
        wrapping_folder="/".join(layout.wrapping) or None,
        classes=Counter(place.label for place in places if place.label is not None),
        places=places,
    )


def _place(layout: Layout, path: tuple[str, ...]) -> PlaceView:
    if _passed_over(path):
        return _not_taken(None)
    try:
        place = _cleaned(layout.place_of(path))
    except (MisplacedError, ValueError) as error:
        return _not_taken(str(error))
    return PlaceView(label=place.label, split=place.split, group=place.group, reason=None)


def _cleaned(place: Place) -> Place:
    group = None if place.group is None else clean_group(place.group)
    return place._replace(label=clean_label(place.label), group=group)


def _not_taken(reason: str | None) -> PlaceView:
    return PlaceView(label=None, split=None, group=None, reason=reason)


def _path(name: str) -> tuple[str, ...]:
    return tuple(part for part in name.split("/") if part not in ("", "."))


def _passed_over(path: Sequence[str]) -> bool:
    return not path or any(map(is_junk, path))
