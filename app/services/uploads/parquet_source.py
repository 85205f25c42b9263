"""A Parquet file as a source of labelled images: one row an image, as Hugging Face stores them.

Images are in a column of bytes, or of structs of bytes and a path. Classes are text, or numbers
whose names are in the file's metadata.
"""

from collections.abc import Iterator, Mapping
from typing import IO, Any

from app.security.parquet import parquet_rows
from app.services.labels import named
from app.services.uploads.collecting import NoUsableImagesError
from app.services.uploads.entries import LABEL_COLUMNS, group_of, label_of, split_of
from app.services.uploads.sources import Found, Item, Rejection, UploadLimits, Warned

_IMAGE_COLUMNS = ("image", "img", "picture", "photo", "jpg", "png")
_LABEL_COLUMNS = (*LABEL_COLUMNS, "labels", "fine_label", "cls")


class ParquetSource:
    """A Parquet file in a file of the system. Rows are named by their path, or by their number."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def items(self, limits: UploadLimits) -> Iterator[Found]:
        """Yield the rows in their order.

        Raises NoUsableImagesError for columns that are not understood, and what `parquet_rows`
        raises.
        """
        rows = parquet_rows(
            self._file, limits.archive, images=_IMAGE_COLUMNS, labels=_LABEL_COLUMNS
        )
        columns, _ = next(rows)
        if columns["image"] is None or columns["label"] is None:
            raise NoUsableImagesError(
                f"The Parquet file has the columns {named(columns['columns'])}. It needs a column "
                "image of bytes (or of structs of bytes and path) and a column label."
            )
        written = [name.lower() for name in columns["columns"]]
        for column in (columns["image"], columns["label"], "split", "group"):
            if written.count(column.lower()) > 1:
                raise NoUsableImagesError(
                    f"The Parquet file has more than one column {column}. Leave one."
                )
        yield Warned(
            f"Images are those of the column {columns['image']!r}, and classes those of "
            f"{columns['label']!r}."
        )
        for number, (row, data) in enumerate(rows):
            yield _found(number, row, data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _found(number: int, row: Mapping[str, Any], data: bytes) -> Item | Rejection:
    path = row["path"]
    name = path if isinstance(path, str) and path else f"row {number}"
    if row.get("unnamed"):
        return Rejection(name, "has a class without a name")
    try:
        label, split = label_of(row["label"]), split_of(row.get("split"))
    except ValueError as error:
        return Rejection(name, str(error))
    if row["no_bytes"]:
        return Rejection(name, "has no bytes: its image is elsewhere", label)
    return Item(name, label, data, split, group_of(row.get("group")))
