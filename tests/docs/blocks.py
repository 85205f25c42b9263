"""The blocks of code in the pages."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import dedent

from tests.docs.pages import PAGES, ROOT

# A page of a folder of its own, which no link of the others has to lead to.
WITH_BLOCKS = [*PAGES, *sorted((ROOT / "clients").glob("*/README.md"))]
# With its language, or the end of one block would begin another.
_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of a page. One without a language has commands behind `$`, and their answers."""

    page: str
    line: int  # of its first line within the page, from 1
    language: str
    text: str


def blocks(page: str) -> Iterator[Block]:
    """Yield the blocks of a page, such as "docs/api.md", in their order."""
    text = (ROOT / page).read_text()
    for found in _BLOCK.finditer(text):
        line = text[: found.start()].count("\n") + 2
        yield Block(page, line, found[2], dedent(found[3]))


def snippets(page: str, language: str) -> list[str]:
    """Return the text of each block of a language.

    `test_blocks.py` takes them for tried by who calls this: leave none of them out.
    """
    return [block.text for block in blocks(page) if block.language == language]
