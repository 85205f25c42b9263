"""docs/architecture.md has a place for every folder and module."""

from pathlib import Path

import pytest

from tests.docs.pages import ROOT, literals, rows, section

PAGE = "architecture.md"
CLIENT = "clients/python/accrue_client"

# Folders whose modules a group may name.
BELOW = {
    "app/api": ("app/api/label_studio", "app/api/v2"),
    "models": ("models/methods", "models/advice", "models/engines"),
    CLIENT: (f"{CLIENT}/blocking", f"{CLIENT}/awaiting"),
}


def modules(folder: str) -> set[str]:
    return {path.name for path in (ROOT / folder).glob("*.py") if not path.name.startswith("__")}


def named(heading: str, first: str) -> set[str]:
    """What the table that begins with a column `first` names in all of its cells."""
    return {
        name
        for row in rows(section(PAGE, heading), first)
        for cell in row
        for name in literals(cell)
    }


@pytest.mark.parametrize(
    ("folder", "heading", "first"),
    [
        ("app/api", "### The service: `app`", "group in `app/api/`"),
        ("worker", "### The worker: `worker`", "group"),
        ("models", "### The learning core: `models`", "group"),
        (CLIENT, "### The Python client: `clients/python`", "group"),
    ],
)
def test_every_module_is_in_a_group(folder: str, heading: str, first: str) -> None:
    found = {name for name in named(heading, first) if name.endswith(".py")}
    inside = BELOW.get(folder, ())
    below = {name for each in inside for name in modules(each)}
    assert modules(folder) <= found <= modules(folder) | below


def folders(within: str) -> set[str]:
    return {f"{path.parent.relative_to(ROOT)}/" for path in ROOT.glob(f"{within}/*/__init__.py")}


def test_every_folder_has_a_row() -> None:
    assert folders("app") <= named("### The service: `app`", "folder")
    rooms = named("### The service: `app`", "room of `app/services/`")
    assert {Path(folder).name + "/" for folder in folders("app/services")} <= rooms
    assert folders("models") <= named("### The learning core: `models`", "group")
