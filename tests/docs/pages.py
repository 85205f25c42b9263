"""The pages of documentation, and what stands in them."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
        ROOT / "benchmarks" / "README.md",
    ]
)
_FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return _FENCE.sub("", page.read_text())


def section(name: str, heading: str) -> str:
    """What stands in a page of docs/ between a heading and the next of its level or above."""
    text = _FENCE.sub("", (ROOT / "docs" / name).read_text())
    level = heading.partition(" ")[0]
    _, found, rest = text.partition(f"\n{heading}\n")
    assert found, f"docs/{name} has no heading {heading!r}"
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str, first: str) -> Iterator[list[str]]:
    """The rows of the table whose first column has the title `first`, cell by cell."""
    tables = re.findall(rf"^\| {re.escape(first)} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.M)
    assert tables, f"no table begins with a column {first!r}"
    for table in tables:
        for line in table.splitlines():
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def literals(cell: str) -> list[str]:
    """What a cell has between backticks."""
    return re.findall(r"`([^`]+)`", cell)
