"""Variables of the environment that the pages name are settings, or are read somewhere."""

import re
from pathlib import Path

import pytest

from app.settings import Settings
from tests.docs.blocks import WITH_BLOCKS
from tests.docs.pages import ROOT

# A mistake that the page shows, and a setting that a recipe adds.
NONE = {"ACCRUE_DATABSE", "ACCRUE_GREETING"}
_NAME = re.compile(r"\bACCRUE_[A-Z_]*[A-Z]\b")


def read() -> set[str]:
    """Settings, and the names in the code and in the files of the deployment."""
    files = [
        ROOT / "Makefile",
        ROOT / "docker-compose.yml",
        *(ROOT / "tests").glob("**/conftest.py"),
    ]
    files += [ROOT / "tests" / "databases.py"]
    for folder in ("app", "clients", "benchmarks"):
        files += (ROOT / folder).rglob("*.py")
    found = {name for file in files for name in _NAME.findall(file.read_text())}
    return found | {f"ACCRUE_{name.upper()}" for name in Settings.model_fields}


READ = read()


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=lambda page: page.name)
def test_variables_are_read(page: Path) -> None:
    assert set(_NAME.findall(page.read_text())) <= READ | NONE


def test_exceptions_are_none() -> None:
    assert not NONE & READ
