"""What may be learnt from: a folder, an archive, images by label, a table."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from accrue_client.errors import InvalidSourceError
from accrue_client.folders import FolderFile, Skipped, list_folder
from accrue_client.http_api import Api
from accrue_client.images import data_of, is_image, name_of, size_of
from accrue_client.layouts import NamedFile, ask
from accrue_client.steps import Steps, work

Split = Literal["train", "test"]
GroupBy = Literal["folder", "upload"]

# Columns of a table, by what people call them.
_COLUMNS = {
    "image": ("image", "path", "file", "filename", "file_name"),
    "label": ("label", "class", "class_name"),
    "group": ("group",),
    "split": ("split",),
}


@dataclass(frozen=True)
class LabelledImage:
    """An image to send. `load` returns the bytes of its file, about `size` of them."""

    name: str
    label: str
    load: Callable[[], bytes]
    size: int | None = None
    split: Split | None = None
    group: str | None = None


@dataclass(frozen=True)
class LabelledImages:
    """Images to send, what is not sent, and what the service says of the folder they are in."""

    images: list[LabelledImage]
    skipped: list[Skipped] = field(default_factory=list)
    # The folder that was around those of the classes.
    wrapping_folder: str | None = None
    # What was taken for what, where it is not plain.
    warnings: list[str] = field(default_factory=list)


def collect(
    api: Api, source: Any, label: str | None, group: GroupBy | None
) -> Steps[LabelledImages]:
    """Return the images of a source. Raises InvalidSourceError where there are none."""
    if label is not None:
        found = _of_label(
            label, [source] if is_image(source) and not _is_folder(source) else source
        )
    elif isinstance(source, Mapping):
        found = LabelledImages(list(_of_mapping(source)))
    elif hasattr(source, "columns") and hasattr(source, "to_dict"):
        found = LabelledImages(list(_of_table(source)))
    elif isinstance(source, (str, PathLike)):
        found = yield from _of_folder(api, Path(source), group)
    else:
        raise InvalidSourceError(
            f"Images cannot be taken from {type(source).__name__}. Give a folder of class folders, "
            "a zip or tar of one, {label: [images]}, a DataFrame with the columns image and label, "
            "or images of one class with label=."
        )
    if not found.images:
        raise InvalidSourceError(_nothing(source, found.skipped), found.skipped)
    return replace(found, images=_with_own_names(found.images))


def _of_folder(api: Api, folder: Path, group: GroupBy | None) -> Steps[LabelledImages]:
    """List a folder, and ask the service what is in it."""
    listing = yield from work(lambda: list_folder(folder))
    if not listing.files:
        return LabelledImages([], listing.skipped)
    layout = yield from ask(api, map(_named, listing.files), group)
    images, skipped = [], list(listing.skipped)
    for file, place in zip(listing.files, layout["places"], strict=True):
        if place["label"] is not None:
            image = LabelledImage(
                file.name,
                place["label"],
                file.source.read_bytes,
                file.size,
                place["split"],
                place["group"],
            )
            images.append(image)
        elif place["reason"] is not None:
            skipped.append(Skipped(file.name, place["reason"]))
    skipped += [Skipped(each["name"], each["reason"]) for each in layout.get("missing", ())]
    said = layout.get("warnings", [])
    return LabelledImages(images, skipped, layout["wrapping_folder"], said)


def _named(file: FolderFile) -> NamedFile:
    return NamedFile(file.name, file.source.read_bytes, file.is_image)


def _of_label(label: str, images: Any) -> LabelledImages:
    if _is_folder(images):
        listing = list_folder(Path(images))
        files = [
            LabelledImage(file.name, label, file.source.read_bytes, file.size)
            for file in listing.files
        ]
        return LabelledImages(files, listing.skipped)
    return LabelledImages(list(_of_mapping({label: images})))


def _of_mapping(source: Mapping[Any, Any]) -> Iterator[LabelledImage]:
    for label, images in source.items():
        several: Iterable[Any] = [images] if is_image(images) else images
        for number, image in enumerate(several):
            yield _one(image, str(label), number)


def _of_table(table: Any) -> Iterator[LabelledImage]:
    """Read a table, such as a DataFrame: one row an image."""
    named = {str(column).lower(): column for column in table.columns}
    columns = {
        what: next((named[name] for name in names if name in named), None)
        for what, names in _COLUMNS.items()
    }
    if columns["image"] is None or columns["label"] is None:
        raise InvalidSourceError(
            f"The table has the columns {', '.join(map(str, table.columns))}. It needs image (a "
            "path or an image) and label, and may have group and split."
        )
    for number, row in enumerate(table.to_dict("records")):
        given = {what: row[column] for what, column in columns.items() if column is not None}
        if _is_missing(given["label"]):
            raise InvalidSourceError(f"Row {number} has no label: give it one, or drop the row.")
        split = None if _is_missing(given.get("split")) else given["split"]
        if split not in (None, "train", "test"):
            raise InvalidSourceError(f"Row {number} has the split {split!r}: give train or test.")
        group = given.get("group")
        of_group = None if _is_missing(group) else str(group)
        yield _one(given["image"], str(given["label"]), number, split, of_group)


def _is_missing(value: object) -> bool:
    """Say whether a cell of a table is empty: None, NaN, or pandas' NA or NaT."""
    if isinstance(value, float):
        return value != value  # noqa: PLR0124 - as NaN does
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def _one(
    image: Any, label: str, number: int, split: Split | None = None, group: str | None = None
) -> LabelledImage:
    if not is_image(image):
        raise InvalidSourceError(
            f"{type(image).__name__} under {label!r} is not an image: give a path, bytes, an image "
            "of Pillow, or an array of uint8 [height, width, 3]."
        )
    name = f"{label}/{name_of(image, number)}"
    return LabelledImage(name, label, lambda: data_of(image), size_of(image), split, group)


def _with_own_names(images: list[LabelledImage]) -> list[LabelledImage]:
    """Number the names that several images have: what is rejected is told by its name."""
    counts = Counter(image.name for image in images)
    taken, seen = set(counts), Counter[str]()
    return [_numbered(image, seen, taken) if counts[image.name] > 1 else image for image in images]


def _numbered(image: LabelledImage, seen: Counter[str], taken: set[str]) -> LabelledImage:
    path, name = PurePosixPath(image.name), image.name
    while name in taken:  # another file may have such a name already
        seen[image.name] += 1
        name = f"{path.with_suffix('')} ({seen[image.name]}){path.suffix}"
    taken.add(name)
    return replace(image, name=name)


def _is_folder(source: object) -> bool:
    return isinstance(source, (str, PathLike)) and Path(source).is_dir()


def _nothing(source: object, skipped: list[Skipped]) -> str:
    lines = [f"  skipped {each.name}: {each.reason}" for each in skipped[:10]]
    where = f" in {source}" if isinstance(source, (str, PathLike)) else ""
    return "\n".join(
        [
            f"There are no images{where}. Put those of each class into a folder named after it.",
            *lines,
        ]
    )
