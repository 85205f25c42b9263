"""The service and the other commands do without the packages of the extra `demo`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HIDDEN = """
from importlib.machinery import PathFinder

find = PathFinder.find_spec


def find_spec(cls, name, path=None, target=None):
    if name.partition(".")[0] not in {"matplotlib", "sklearn"}:
        return find(name, path, target)


PathFinder.find_spec = classmethod(find_spec)
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python where those packages are not installed."""
    (folder / "sitecustomize.py").write_text(HIDDEN)
    return subprocess.run(
        [sys.executable, "-P", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(folder)},
    )


@pytest.mark.parametrize(
    ("command", "packages"),
    [(["demo"], "matplotlib and scikit-learn"), (["bench", "images"], "matplotlib")],
)
def test_what_is_missing_is_named(tmp_path: Path, command: list[str], packages: str) -> None:
    done = run(tmp_path, "-m", "app.cli", *command)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: `accrue {command[0]}` needs {packages}. Run `make setup` in a checkout of Accrue, "
        "or `pip install 'accrue[demo]'`.\n"
    )


@pytest.mark.slow
def test_the_service_is_loaded_without_them(tmp_path: Path) -> None:
    done = run(tmp_path, "-c", "import app.cli.api_process, worker.main, worker.child")
    assert done.returncode == 0, done.stderr
    done = run(tmp_path, "-c", "import sklearn")
    assert "No module named 'sklearn'" in done.stderr
