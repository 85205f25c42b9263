"""The snippets about the Python client run one after another, as a reader would type them."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.docs.blocks import snippets
from tests.e2e.harness import Digits, Service


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
    names: dict[str, Any] = {}
    for number, snippet in enumerate(snippets("docs/python-client.md", "python")):
        code = snippet.replace("http://127.0.0.1:8000", service.url)
        exec(compile(code, f"snippet {number}", "exec"), names)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "1"
    assert "4 0" in said
    assert any(line.startswith("classifier-not-found 404") for line in said)
    assert (tmp_path / "flowers.tar").stat().st_size > 1000
    # The page of the package begins in the same way.
    (first,) = snippets("clients/python/README.md", "python")
    assert snippets("docs/python-client.md", "python")[0].startswith(first)
