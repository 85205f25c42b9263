"""The snippets of docs/python-client.md run one after another, as a reader would type them."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import ROOT
from tests.e2e.harness import Digits, Service

PAGE = ROOT / "docs" / "python-client.md"


def test_every_snippet_runs(
    service: Service,
    digits: Digits,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for label in (0, 1):
        for home, split, count in (("photos", "train", 20), ("test", "test", 10)):
            target = tmp_path / home / str(label)
            target.mkdir(parents=True)
            for image in digits.images(label, split)[:count]:
                shutil.copy(image, target)
    shutil.copy(digits.images(1, "test")[0], tmp_path / "new.jpg")
    monkeypatch.chdir(tmp_path)
    snippets = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(snippets) == 7
    names: dict[str, Any] = {}
    for snippet in snippets:
        code = snippet.replace("http://127.0.0.1:8000", service.url)
        exec(compile(code, PAGE, "exec"), names)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "1"
    assert "4 0" in said
    assert any(line.startswith("classifier-not-found 404") for line in said)
    assert (tmp_path / "flowers.tar").stat().st_size > 1000
