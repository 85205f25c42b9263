"""The method that CONTRIBUTING.md shows works as another package's."""

import re
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from models import methods
from models.spec import Spec
from tests.docs.pages import ROOT
from tests.models.conftest import SIZE, Chain, pictures


def test_the_method_learns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    source, declared = re.search(
        r"### A method\n.*?```python\n(.*?)```.*?slow_backbone = \"my_package\.(.*?)\"", text, re.S
    ).groups()  # type: ignore[union-attr]
    (tmp_path / "slow_backbone.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    entry = EntryPoint("slow_backbone", declared, methods.ENTRY_POINTS)
    monkeypatch.setattr(methods, "entry_points", lambda **_: [entry])
    # Accrue itself has a method of that name once somebody followed "To add it to Accrue itself".
    others = [method for method in methods._OWN if method.name != "slow_backbone"]
    monkeypatch.setattr(methods, "_OWN", others)
    methods._registry.cache_clear()
    try:
        spec = Spec(
            method="slow_backbone", options={"epochs": 2}, backbone="convnet", image_size=SIZE
        )
        learner = Chain(methods.validate(spec))
        learner.learn({0: pictures(0, 20), 1: pictures(1, 20)})
        learner.learn({2: pictures(2, 20)})
        assert len(learner.results[-1].metrics["per_class"]) == 3
    finally:
        methods._registry.cache_clear()
        sys.modules.pop("slow_backbone", None)
