"""What the rows of a document say of images: file, class, split and group of each.

Known are tables with a column of files and one of classes, tables with a column of zeros and ones
for each class (Roboflow, ISIC), and the tasks that Label Studio exports as JSON.
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, NamedTuple, Self

import orjson

from app.services.uploads.documents import BEYOND, Row, UnreadableDocumentError
from app.services.uploads.sources import Split
from app.services.uploads.splits import split_named

FILE_COLUMNS = (
    *("file", "filename", "file_name", "image", "path"),
    *("filepath", "file_path", "image_path", "image_name", "image_id"),
    "id",  # of competitions on Kaggle: a name without its suffix
)
LABEL_COLUMNS = ("label", "class", "category", "class_name", "choice")
# Other names of a column of splits: it is one if its first cell names a split.
_SPLIT_COLUMNS = ("subset", "partition", "set", "dataset", "data set", "usage", "phase")
_KNOWN_COLUMNS = frozenset((*FILE_COLUMNS, *LABEL_COLUMNS, "split", "group"))
_ZEROS_AND_ONES = frozenset({"0", "1", "0.0", "1.0"})
# What Roboflow calls the column of images without a class.
_UNLABELED = "unlabeled"
_LABEL_STUDIO = ("annotations", "completions")


class Entry(NamedTuple):
    """What a row says of a file. Without a label, `wrong` says why."""

    file: str
    label: str | None
    split: Split | None = None
    group: str | None = None
    wrong: str | None = None


class _Columns(NamedTuple):
    """The names of columns, whether in capitals or not."""

    file: str | None
    label: str | None = None
    split: str | None = None
    group: str | None = None
    others: tuple[str, ...] = ()

    @classmethod
    def of(cls, row: Row) -> Self:
        """Return the columns of which `row` has cells.

        Raises UnreadableDocumentError where two differ in capitals only.
        """
        written: dict[str, str] = {}
        for name in row:
            other = written.setdefault(name.lower(), name)
            if other != name and name.lower() in _KNOWN_COLUMNS:
                raise UnreadableDocumentError(f"it has the columns {other!r} and {name!r}")

        def first(*names: str) -> str | None:
            return next((written[name] for name in names if name in written), None)

        others = (name for name in _SPLIT_COLUMNS if name in written)
        split = first("split", *(each for each in others if split_named(str(row[written[each]]))))
        known = (first(*FILE_COLUMNS), first(*LABEL_COLUMNS), split, first("group"))
        return cls(*known, tuple(name for name in row if name not in ("", BEYOND, *known)))


def entries(rows: Iterator[Row]) -> Iterator[Entry]:
    """Yield what rows say of images: nothing if their columns are not those of files and classes.

    Raises UnreadableDocumentError.
    """
    first = next(rows, None)
    if first is None:
        return
    all_rows = chain([first], rows)
    if "data" in first and any(key in first for key in _LABEL_STUDIO):
        yield from map(_of_task, all_rows)
        return
    columns = _Columns.of(first)
    if columns.file is None:
        return
    if columns.label is not None:
        for row in all_rows:
            yield _entry(row, columns, row.get(columns.label))
    elif len(columns.others) > 1 and all(
        str(first[name]) in _ZEROS_AND_ONES for name in columns.others
    ):
        for row in all_rows:
            classes = [name for name in columns.others if _is_one(row.get(name))]
            yield _entry(row, columns, [name for name in classes if name.lower() != _UNLABELED])


def label_of(cell: Any) -> str:
    """Return the one class that a cell names. Raises ValueError with what is wrong."""
    if isinstance(cell, str) and cell.lstrip().startswith(("[", "{")):
        cell = _parsed(cell)
    if isinstance(cell, Mapping) and "choices" in cell:  # of Label Studio
        cell = cell["choices"]
    if isinstance(cell, list):
        if len(cell) > 1:
            raise ValueError(f"has several classes, and an image is of one ({len(cell)})")
        cell = cell[0] if cell else None
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    if cell is None or cell == "":
        raise ValueError("has no class")
    if not isinstance(cell, (str, int, float)):
        raise ValueError("has a class that is not text")
    return str(cell)


def split_of(cell: Any) -> Split | None:
    """Return the split that a cell names, None if it is empty. Raises ValueError for another."""
    split = None if cell is None else split_named(str(cell))
    if split is None and cell not in (None, ""):
        raise ValueError("has a split that is neither train nor test")
    return split


def group_of(cell: Any) -> str | None:
    """Return the group that a cell names, None if it is empty."""
    return None if cell in (None, "") else str(cell)


def _parsed(cell: str) -> Any:
    try:
        return orjson.loads(cell)
    except orjson.JSONDecodeError:  # a class may be named so
        return cell


def _entry(row: Row, columns: _Columns, cell: Any) -> Entry:
    name = row.get(columns.file or "")
    if not isinstance(name, str):
        return Entry(str(name), None, wrong="has a file name that is not text")
    if BEYOND in row:
        return Entry(name, None, wrong="has more cells than there are columns: quote its commas")
    try:
        label, split = label_of(cell), split_of(row.get(columns.split or ""))
    except ValueError as error:
        return Entry(name, None, wrong=str(error))
    return Entry(name, label, split, group_of(row.get(columns.group or "")))


def _is_one(cell: Any) -> bool:
    return str(cell) in ("1", "1.0")


def _of_task(task: Row) -> Entry:
    """Return what a task of Label Studio says: the choices in it, of whoever annotated it."""
    data = task.get("data")
    named = data if isinstance(data, Mapping) else {}
    texts = [named.get("image"), *named.values()]
    choices: list[Any] = []
    for annotation in _objects(next((task[key] for key in _LABEL_STUDIO if key in task), None)):
        if not annotation.get("was_cancelled"):
            for result in _objects(annotation.get("result")):
                value = result.get("value")
                found = value.get("choices") if isinstance(value, Mapping) else None
                choices += found if isinstance(found, list) else []
    file = next((text for text in texts if isinstance(text, str)), "")
    return _entry({"file": file}, _Columns("file"), list(dict.fromkeys(map(str, choices))))


def _objects(found: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(found, list):
        yield from (each for each in found if isinstance(each, Mapping))
