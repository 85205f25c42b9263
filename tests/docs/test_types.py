"""The Python of the pages has types that mypy finds right, as strictly as it can."""

import json
import re
from pathlib import Path

import pytest
from mypy import api

from tests.docs.pages import PAGES, ROOT

pytestmark = pytest.mark.slow

# Its snippets are parts of files of Accrue.
FRAGMENTS = "CONTRIBUTING.md"
# Some packages that the pages use have no types, or are not installed here.
OPTIONS = [
    "--strict",
    "--config-file=",
    "--disable-error-code=import-untyped",
    "--disable-error-code=import-not-found",
]


def test_snippets_have_types(tmp_path: Path) -> None:
    pages = [*PAGES, ROOT / "clients" / "python" / "README.md"]
    files = []
    for page in pages:
        found = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
        if found and page.name != FRAGMENTS:
            file = tmp_path / f"{page.parent.name}_{page.stem.replace('-', '_')}.py"
            file.write_text("\n".join(found))
            files.append(str(file))
    notebook = json.loads((ROOT / "docs" / "quickstart.ipynb").read_text())
    cells = [each for each in notebook["cells"] if each["cell_type"] == "code"]
    file = tmp_path / "notebook.py"
    file.write_text("\n".join("".join(cell["source"]) for cell in cells))
    files.append(str(file))
    assert len(files) > 5
    said, failed, status = api.run([*OPTIONS, f"--cache-dir={tmp_path}/cache", *files])
    assert status == 0, said + failed
