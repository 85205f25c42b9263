"""The parts of the page that need no browser, by the test runner of Node."""

import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parent / "units"


def test_units() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node: the parts of the page without a browser are not tested")
    files = sorted(map(str, UNITS.glob("*.test.js")))
    done = subprocess.run([node, "--test", *files], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
