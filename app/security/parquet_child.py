"""Reads a Parquet file from a stranger in a process of its own, with bounded memory.

The reader is C++: a file that is made for it can end its process. So this program imports nothing
of Accrue, and writes what it reads to its standard output, in frames: the length of a JSON object
and of the bytes of an image, then both. The first frame tells the columns, and each other one a
row. An empty object ends them.

    python parquet_child.py '{"image": […], "label": […], "megabytes": 2000}' < file
"""

import json
import math
import resource
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

FRAME = struct.Struct(">II")
_ROWS_AT_ONCE = 8


def main() -> None:
    """Read standard input and write frames."""
    asked = json.loads(sys.argv[1])
    memory = asked["megabytes"] * 10**6
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    for kind in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(kind, (0, 0))
    for header, data in _frames(asked["image"], asked["label"]):
        text = json.dumps(header).encode()
        sys.stdout.buffer.write(FRAME.pack(len(text), len(data)) + text)
        sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _frames(images: Sequence[str], labels: Sequence[str]) -> Iterator[tuple[Any, bytes]]:
    from pyarrow import parquet  # noqa: PLC0415 - its memory counts

    # By default, whole columns are read at once.
    file = parquet.ParquetFile(sys.stdin.buffer, buffer_size=2**20, pre_buffer=False)
    schema = file.schema_arrow
    classes = _names_of_classes(schema)
    holding = [field.name for field in schema if _holds_bytes(field.type)]
    image = _first(images, holding) or (holding[0] if len(holding) == 1 else None)
    label = _first(labels, schema.names) or (next(iter(classes)) if len(classes) == 1 else None)
    yield {"columns": schema.names, "image": image, "label": label}, b""
    if image is None or label is None:
        return
    others = {
        kind: name
        for kind in ("split", "group")
        if (name := _first([kind], schema.names)) is not None
    }
    names = classes.get(label)
    for batch in file.iter_batches(
        _ROWS_AT_ONCE, columns=[image, label, *others.values()], use_threads=False
    ):
        for row in batch.to_pylist():
            cell = row[image]
            data = cell["bytes"] if isinstance(cell, dict) else cell
            told = {kind: _plain(row[name]) for kind, name in others.items()}
            told["label"] = _plain(row[label])
            told["path"] = _plain(cell.get("path")) if isinstance(cell, dict) else None
            told["no_bytes"] = data is None
            if names is not None:
                told["label"], told["unnamed"] = _named(told["label"], names)
            yield told, data or b""
    yield {}, b""


def _first(wanted: Sequence[str], names: Sequence[str]) -> str | None:
    written = {name.lower(): name for name in reversed(names)}
    return next((written[name] for name in wanted if name in written), None)


def _holds_bytes(kind: Any) -> bool:
    from pyarrow import types  # noqa: PLC0415 - its memory counts

    if types.is_struct(kind):
        place = kind.get_field_index("bytes")
        return place >= 0 and _holds_bytes(kind.field(place).type)
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _names_of_classes(schema: Any) -> Mapping[str, Sequence[str]]:
    """Return the names of the classes in columns of numbers, as Hugging Face's datasets say."""
    try:
        said = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = said["info"]["features"].items()
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {
        column: feature["names"]
        for column, feature in features
        if column in schema.names
        and isinstance(feature, dict)
        and isinstance(feature.get("names"), list)
    }


def _named(cell: Any, names: Sequence[str]) -> tuple[Any, bool]:
    """Return the name of a class by its number, and whether it has none."""
    if isinstance(cell, list) and len(cell) == 1:
        cell = cell[0]
    if not isinstance(cell, int):
        return cell, False
    known = 0 <= cell < len(names)  # such as -1, of images whose class is kept secret
    return (names[cell] if known else None), not known


def _plain(cell: Any) -> Any:
    """Return a cell as JSON can hold it."""
    if isinstance(cell, list):
        return [_plain(each) for each in cell[:2]]
    if isinstance(cell, float) and not math.isfinite(cell):  # what pandas has for a missing cell
        return None
    return cell if cell is None or isinstance(cell, (str, int, float)) else {}


if __name__ == "__main__":
    main()
