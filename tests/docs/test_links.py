"""Links in the documentation lead somewhere, and files and functions that it names are there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, prose

FOLDERS = "|".join(path.name.replace(".", r"\.") for path in ROOT.iterdir() if path.is_dir())
# `app/main.py`, `deploy/monitoring/`, and `worker/lease.py:Lease.extend`.
NAMED = re.compile(rf"`((?:{FOLDERS})/[\w./-]*)(?::([\w.]+))?`")


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def links(page: Path) -> Iterator[str]:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if not re.match(r"https?:", target):
            yield target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        there = page.parent / path if path else page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_named_is_there(page: Path) -> None:
    for path, name in NAMED.findall(prose(page)):
        assert (ROOT / path).exists(), path
        for part in filter(None, name.split(".")):
            source = (ROOT / path).read_text()
            assert re.search(rf"(?:def|class) {part}\b|^{part}\b", source, re.M), f"{path}:{name}"


def test_every_page_is_linked() -> None:
    readme = ROOT / "README.md"
    linked = {
        (page.parent / link.partition("#")[0]).resolve() for page in PAGES for link in links(page)
    }
    assert {page for page in PAGES if page.resolve() not in linked} <= {readme}
