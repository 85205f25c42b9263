"""Rows of a Parquet file from a stranger, read by `parquet_child` in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import IO, Any

import orjson

from app.security import parquet_child
from app.security.archive_members import (
    ArchiveLimits,
    InflationBudget,
    UnreadableArchiveError,
    UnsafeArchiveError,
)

# Memory of the process: a page of a file is in it as a whole.
_MEGABYTES = 2000
_ENVIRONMENT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")
_MOST_HEADER_BYTES = 10**7

_DAMAGED = (
    "The Parquet file is damaged, or reading it takes too much memory: write it with at most 100 "
    "rows in a row group."
)


def is_installed() -> bool:
    """Say whether Parquet can be read: with the extra `parquet`."""
    return find_spec("pyarrow") is not None


def parquet_rows(
    file: IO[bytes], limits: ArchiveLimits, *, images: Sequence[str], labels: Sequence[str]
) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Yield what is said of the columns, then of each row, and its image.

    `images` and `labels` are the names that columns may have, the first first. Raises
    UnreadableArchiveError, and UnsafeArchiveError for rows that have far more bytes than the file.
    """
    asked = orjson.dumps({"image": images, "label": labels, "megabytes": _MEGABYTES}).decode()
    budget = InflationBudget(file.seek(0, 2), limits)
    file.seek(0)
    file.flush()
    with subprocess.Popen(  # noqa: S603 - a program of ours
        [sys.executable, "-P", parquet_child.__file__, asked],
        stdin=file.fileno(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={
            "ARROW_DEFAULT_MEMORY_POOL": "system",  # others reserve much that they do not use
            **{name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        },
    ) as process:
        try:
            assert process.stdout is not None  # noqa: S101 - it is a pipe
            yield from _frames(process.stdout, budget, limits)
        finally:
            process.kill()


def _frames(
    pipe: IO[bytes], budget: InflationBudget, limits: ArchiveLimits
) -> Iterator[tuple[dict[str, Any], bytes]]:
    for number in range(limits.members + 2):
        said, sent = parquet_child.FRAME.unpack(_exactly(pipe, parquet_child.FRAME.size))
        budget.take(said + sent)
        if said > _MOST_HEADER_BYTES:
            raise UnsafeArchiveError("A cell of the Parquet file has too much text.")
        header = orjson.loads(_exactly(pipe, said))
        if number and not header:
            return
        yield header, _exactly(pipe, sent)
    raise UnsafeArchiveError(f"The Parquet file has more than {limits.members} rows.")


def _exactly(pipe: IO[bytes], size: int) -> bytes:
    data = pipe.read(size)
    if len(data) != size:
        raise UnreadableArchiveError(_DAMAGED)
    return data
