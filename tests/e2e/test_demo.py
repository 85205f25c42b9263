"""`accrue demo` on a few class folders and, among the slow tests, with its defaults."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from tests.docs.blocks import snippets
from tests.e2e.harness import Digits
from tests.e2e.reader import plain


@pytest.fixture
def demo(tmp_path: Path) -> Callable[..., list[Any]]:
    """A function that runs a small demo: with its defaults, unless told otherwise."""
    from app.demo.run import DemoOptions, run  # slow to load

    small: dict[str, Any] = {
        "folder": None,
        "classes_per_task": 2,
        "image_size": 8,
        "backbone": "convnet",
        "epochs": 30,
        "flip": False,
        "data_dir": tmp_path / "data",
        "keep": False,
        "picture": tmp_path / "demo.png",
    }
    return lambda terminal, **given: run(DemoOptions(**{**small, **given}), terminal)


def console() -> Console:
    return Console(record=True, width=100, highlight=False)


@pytest.mark.slow
def test_the_demo_on_class_folders_of_ones_own(
    demo: Callable[..., list[Any]], digits: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCRUE_TRAIN_THREADS", "1")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # as `make demo` has it, without .venv/bin
    folder = tmp_path / "mine"
    for label in (0, 1, 2):
        (folder / f"digit {label}").mkdir(parents=True)
        for image in digits.images(label)[:15]:
            (folder / f"digit {label}" / image.name).write_bytes(image.read_bytes())
    terminal = console()
    courses = demo(terminal, folder=folder, classes_per_task=1, epochs=2)
    said = terminal.export_text()
    assert [course.name for course in courses] == ["finetune", "icarl", "analytic"]
    assert [len(row) for row in courses[1].matrix] == [1, 2, 3]
    assert "Task 3 of 3: digit 2 (12 images to learn, 3 to measure on)" in said
    assert "version 2, which knows 2 classes, says digit" in said
    assert f"The same as a picture: {tmp_path / 'demo.png'}" in said
    # What to try next works from any folder.
    activate, up = [
        line.split("  ")[1] for line in said.partition("try next:\n")[2].splitlines()[:2]
    ]
    assert up == f"accrue up --data-dir {tmp_path / 'data'}"
    command = ["bash", "-c", f"{activate}; accrue up --help"]
    assert subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout
    with Image.open(tmp_path / "demo.png") as picture:
        assert picture.width > 1000


@pytest.mark.slow
def test_one_forgets_and_the_others_remember(demo: Callable[..., list[Any]]) -> None:
    terminal = console()
    finetune, icarl, analytic = demo(terminal)
    # Numbers differ; what is said, and in which order, is as README.md shows it.
    (shown,) = snippets("README.md", "text")
    said = iter(map(plain, terminal.export_text().splitlines()))
    assert [line for line in map(plain, shown.splitlines()) if line not in said] == []
    assert icarl.average >= 0.93
    assert analytic.average >= 0.98
    assert finetune.accuracies[-1] < 0.35
