"""Documents beside images that may say what these are: CSV, JSON and JSON Lines, row by row."""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

import orjson

# Files that are looked into, whatever else is in an archive.
SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".cls")
# Bytes of all documents of an upload together: they are read into memory.
MOST_BYTES = 32 * 10**6
_MOST_ROWS = 10**6
# The key in a row of a table of what is beyond its columns: no column is named so.
BEYOND = "\0"

Row = dict[str, Any]


class UnreadableDocumentError(Exception):
    """A document that cannot be read; says why."""


class RepeatedKeyError(UnreadableDocumentError):
    """A document in JSON of which an object has a key twice: which one counts is not known."""


def rows(name: str, data: bytes) -> Iterator[Row]:
    """Yield the rows of a document.

    Of a JSON document, rows are the objects in its list; or the entries of an object of labels by
    file. Raises UnreadableDocumentError.
    """
    for number, row in enumerate(_rows(name.lower(), data)):
        if number == _MOST_ROWS:
            raise UnreadableDocumentError(f"it has more than {_MOST_ROWS} rows")
        yield row


def _rows(name: str, data: bytes) -> Iterator[Row]:
    if name.endswith((".csv", ".tsv")):
        return _of_table(_text(data))
    if name.endswith((".jsonl", ".ndjson")):
        return _of_lines(data)
    return _of_json(data)


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableDocumentError("it is not UTF-8") from error


def _of_table(text: str) -> Iterator[Row]:
    head = text[: text.find("\n")] if "\n" in text else text
    delimiter = max(",;\t", key=head.count)
    table = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        columns = [cell.strip() for cell in next(table, [])]
        twice = next((name for name, count in Counter(columns).items() if name and count > 1), None)
        if twice is not None:
            raise UnreadableDocumentError(f"it has the column {twice!r} twice")
        for cells in table:
            if any(cells):
                yield _of_cells(columns, [cell.strip() for cell in cells])
    except csv.Error as error:
        raise UnreadableDocumentError(f"line {table.line_num} is not CSV: {error}") from error


def _of_cells(columns: Sequence[str], cells: Sequence[str]) -> Row:
    """Return a row of all columns: a short one has empty cells."""
    count = len(columns)
    row = dict(zip_longest(columns, cells[:count], fillvalue=""))
    return {**row, BEYOND: cells[count:]} if any(cells[count:]) else row


def _of_lines(data: bytes) -> Iterator[Row]:
    # Not by `splitlines`: text in JSON may hold other ends of lines, such as U+2028.
    for number, line in enumerate(_text(data).split("\n"), start=1):
        if line.strip():
            try:
                yield _as_row(orjson.loads(line))
            except orjson.JSONDecodeError as error:
                raise UnreadableDocumentError(f"line {number} is not JSON") from error
            _refuse_repeated_keys(line)


def _of_json(data: bytes) -> Iterator[Row]:
    try:
        document = orjson.loads(data.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise UnreadableDocumentError("it is not JSON") from error
    _refuse_repeated_keys(data.decode("utf-8-sig"))
    if isinstance(document, dict):
        for file, entry in document.items():
            yield {**_as_row(entry if isinstance(entry, dict) else {"label": entry}), "file": file}
    elif isinstance(document, list):
        for entry in document:
            yield _as_row(entry)


def _refuse_repeated_keys(text: str) -> None:
    """Raise RepeatedKeyError for valid JSON with such an object, of which orjson takes the last."""
    try:
        json.loads(text, object_pairs_hook=_refuse_repeated_key)
    except RecursionError as error:
        raise UnreadableDocumentError("it is nested too deeply") from error


def _refuse_repeated_key(pairs: Sequence[tuple[str, Any]]) -> None:
    counts = Counter(key for key, _ in pairs)
    if len(counts) < len(pairs):
        ((key, _),) = counts.most_common(1)
        raise RepeatedKeyError(f"it has the key {key!r} twice in an object")


def _as_row(entry: Any) -> Row:
    if not isinstance(entry, dict):
        raise UnreadableDocumentError("a row of it is not an object")
    return entry
