"""What an operation asks for, step by step, without doing any I/O itself (sans-IO).

An operation is a generator: it yields a `Call`, a `Pause` or `Work`, is sent what came of it, and
returns its result. `running` runs the same operations with threads or with asyncio.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class FileBody:
    """A file as the body of a request: read in chunks, anew each time the request is sent."""

    path: Path

    def __iter__(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk


@dataclass(frozen=True)
class Call:
    """A request. Its answer is an `httpx.Response`; an `httpx.RequestError` is raised instead.

    `seconds` is how long the answer may take. `to`: where the body of the answer is written,
    instead of into memory.
    """

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | FileBody | None = None
    seconds: float | None = None
    to: Path | None = None


@dataclass(frozen=True)
class Pause:
    """Wait for so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Work:
    """Call a function that blocks, such as one that reads files.

    What it returns is sent back, and what it raises is raised in the operation.
    """

    function: Callable[[], Any]


Steps = Generator[Call | Pause | Work, Any, T]


def work(function: Callable[[], T]) -> Steps[T]:
    """Return what a function returns that blocks."""
    result: T = yield Work(function)
    return result
