"""Every block of code in the pages is tried by a test, or says here why not."""

import re

import pytest

from tests.docs.blocks import WITH_BLOCKS, Block, blocks
from tests.docs.pages import ROOT

# The page, the language, and why no test tries it.
LEFT_OUT = {
    ("docs/architecture.md", "text"): "An outline for readers: test_architecture.py has the names.",
}
# A reader types what has no language and what is `sh`; a test takes the snippets of any other.
_TRIED = re.compile(r'\b(follow|snippets)\(\s*"([\w./-]+\.md)"(?:,\s*"(\w+)")?')
PAGES = [str(page.relative_to(ROOT)) for page in WITH_BLOCKS]


def tried() -> set[tuple[str, str]]:
    """The pages and languages that tests name as what they try."""
    found = set()
    for file in (ROOT / "tests").rglob("*.py"):
        for function, page, language in _TRIED.findall(file.read_text()):
            languages = ("", "sh") if function == "follow" else (language,)
            found |= {(page, each) for each in languages}
    return found


TRIED = tried()


def uncovered(block: Block) -> bool:
    return (block.page, block.language) not in TRIED | LEFT_OUT.keys()


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_tried(page: str) -> None:
    without = [block for block in blocks(page) if uncovered(block)]
    assert not without, "\n".join(
        f"{page}:{block.line}: no test calls follow or snippets for {block.language or 'it'}"
        for block in without
    )


@pytest.mark.parametrize("page", PAGES)
def test_every_fence_belongs_to_a_block(page: str) -> None:
    fences = re.findall(r"^ *```", (ROOT / page).read_text(), re.MULTILINE)
    assert len(fences) == 2 * len(list(blocks(page)))


@pytest.mark.parametrize("page", PAGES)
def test_a_block_without_a_language_has_commands(page: str) -> None:
    for block in blocks(page):
        if not block.language:
            assert re.search(r"^\$ ", block.text, re.MULTILINE), f"{page}:{block.line}"


def test_nothing_is_left_out_in_vain() -> None:
    there = {(block.page, block.language) for page in PAGES for block in blocks(page)}
    assert LEFT_OUT.keys() <= there - TRIED
    assert {each for each in TRIED - there if each[1] not in ("", "sh")} == set()
