"""The commands of a documentation page, and what it says that they answer."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from tests.docs.blocks import blocks

# Classes of the examples, which are names of fields where they are counted.
_LABELS = {"stop", "yield", "pizza"}


@dataclass(frozen=True)
class Command:
    """A command with the lines that belong to it, and the answer below it."""

    line: int
    text: str
    answer: str


def commands(page: str) -> Iterator[Command]:
    """Yield the commands of a page in their order: those behind a `$`, and all in a block `sh`."""
    for block in blocks(page):
        lines = block.text.splitlines()
        if block.language == "sh":
            yield from _script(lines, block.line)
        elif not block.language:
            yield from _transcript(lines, block.line)


def _script(lines: list[str], first: int) -> Iterator[Command]:
    start = 0
    while start < len(lines):
        length = _length(lines[start:])
        yield Command(first + start, "\n".join(lines[start : start + length]), "")
        start += length


def _transcript(lines: list[str], first: int) -> Iterator[Command]:
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    for start, end in pairwise([*starts, len(lines)]):
        length = _length(lines[start:end])
        answer = (line for line in lines[start + length : end] if not line.startswith("# "))
        yield Command(
            first + start,
            "\n".join(lines[start : start + length]).removeprefix("$ "),
            "\n".join(answer),
        )


def _length(lines: list[str]) -> int:
    """Return how many lines the command has: until no quote is open and none is continued."""
    for length in range(1, len(lines) + 1):
        text = "\n".join(lines[:length])
        if text.count("'") % 2 == 0 and not text.endswith("\\"):
            return length
    raise AssertionError(lines)


def keys(answer: str) -> set[str]:
    """Return the names of the fields in an answer of JSON, which may be cut short."""
    return set(re.findall(r'"(\w+)":', answer)) - _LABELS
