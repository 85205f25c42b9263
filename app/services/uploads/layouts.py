"""What files are said to be before they are sent: each one's class, split and group."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, Field

from app.security.archives import is_junk
from app.services.labels import clean_group, clean_label
from app.services.requests import RequestBody
from app.services.uploads.arrangement import Arrangement, arranged, not_understood
from app.services.uploads.files import IMAGE_SUFFIXES, Files, is_document
from app.services.uploads.folders import MisplacedError, Place
from app.services.uploads.sources import GroupBy, Split, shown
from app.services.uploads.uploads import RejectionView

# Files in one request, whatever an upload may hold: their names must fit into memory.
MOST_FILES = 200_000
_LONGEST_NAME = 4096
# Files that are missing, of which an answer lists so many at most.
_LISTED_MISSING = 1000


class NamedFile(RequestBody):
    """A file that is to be sent."""

    name: Annotated[str, Field(max_length=_LONGEST_NAME)] = Field(
        description="Its path, with slashes."
    )
    image: bool | None = Field(
        None,
        description="By its first bytes; null: by its suffix.",
    )
    text: str | None = None


class LayoutRequest(RequestBody):
    """Names of files."""

    files: Annotated[list[NamedFile], Field(min_length=1, max_length=MOST_FILES)]
    group: GroupBy | None = None


class PlaceView(BaseModel):
    """What is said of a file."""

    label: str | None
    split: Split | None
    group: str | None
    reason: str | None


class LayoutView(BaseModel):
    """What becomes of files, in their order."""

    wrapping_folder: str | None
    classes: dict[str, int]
    places: list[PlaceView]
    missing: list[RejectionView]
    warnings: list[str]
    problem: str | None


def lay_out(request: LayoutRequest) -> LayoutView:
    """Say what an archive of these files would be taken for."""
    paths = [_path(file.name) for file in request.files]
    files = Files()
    for file, path in zip(request.files, paths, strict=True):
        if _passed_over(path):
            continue
        if is_document(path):
            files.add_document(path, (file.text or "").encode)
        else:
            is_image = file.name.lower().endswith(IMAGE_SUFFIXES) or bool(file.image)
            files.add(path, is_image=is_image)
    arrangement, notes = arranged(files, grouped=request.group == "folder")
    places = [_place(arrangement, path) for path in paths]
    return LayoutView(
        wrapping_folder="/".join(arrangement.wrapping) or None,
        classes=Counter(place.label for place in places if place.label is not None),
        places=places,
        missing=[
            RejectionView(name=shown(each.name), reason=each.reason)
            for each in arrangement.missing[:_LISTED_MISSING]
        ],
        warnings=notes,
        problem=not_understood(files, arrangement),
    )


def _place(arrangement: Arrangement, path: tuple[str, ...]) -> PlaceView:
    if _passed_over(path):
        return _not_taken(None)
    try:
        place = arrangement.place_of(path)
        if place is None:
            return _not_taken(None)
        place = _cleaned(place)
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
