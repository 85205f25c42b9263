"""docs/quickstart.ipynb runs, cell after cell, and shows what is stored in it."""

import ast
import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.docs.pages import ROOT
from tests.e2e.harness import Service

pytestmark = pytest.mark.slow

NOTEBOOK = ROOT / "docs" / "quickstart.ipynb"


def run(source: str, names: dict[str, Any]) -> Any:
    """Run a cell as a notebook does, and return what its last line says."""
    tree = ast.parse(source)
    shown = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, NOTEBOOK, "exec"), names)
    if shown is None:
        return None
    return eval(compile(ast.Expression(shown.value), NOTEBOOK, "eval"), names)  # type: ignore[attr-defined]


def stored(cell: dict[str, Any]) -> Any:
    """What is stored as shown by a cell: a picture, or text."""
    for output in cell["outputs"]:
        data = output.get("data", {})
        if "image/png" in data:
            return Image.open(io.BytesIO(base64.b64decode("".join(data["image/png"]))))
        if "text/plain" in data:
            return "".join(data["text/plain"])
    return None


def test_the_notebook_runs(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ACCRUE_URL", service.url)
    names: dict[str, Any] = {}
    pictures = 0
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        if cell["cell_type"] != "code":
            continue
        source = "".join(cell["source"])
        shown, before = run(source, names), stored(cell)
        if isinstance(shown, Image.Image):
            assert isinstance(before, Image.Image), source
            assert shown.size == before.size
            assert len(set(shown.convert("L").getdata())) > 10, source  # not blank
            pictures += 1
        else:
            assert (shown is None) == (before is None), source
    assert pictures == 2
    assert names["second"].accuracy > 0.9
    assert names["evaluation"].accuracy > 0.9
    assert [classifier.name for classifier in names["accrue"].classifiers.list()] == []
