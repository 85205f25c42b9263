"""Programs that tests speak with, each in an environment of its own below ``.peers``.

They need other versions of packages than Accrue has.
"""

import subprocess
import sys
from pathlib import Path

_ENVIRONMENTS = Path(__file__).parents[1] / ".peers"


def command(name: str, program: str) -> Path:
    """Where a program of an environment is, or would be."""
    return _ENVIRONMENTS / name / "bin" / program


def install(name: str, program: str, requirement: str) -> Path:
    """Install a program where it is not yet, and return it."""
    found = command(name, program)
    if not found.is_file():
        uv = Path(sys.executable).parent / "uv"
        environment = _ENVIRONMENTS / name
        subprocess.run(
            [uv, "venv", "--quiet", "--clear", "--python", sys.executable, environment], check=True
        )
        python = environment / "bin" / "python"
        subprocess.run(
            [
                uv,
                "pip",
                "install",
                "--quiet",
                "--compile-bytecode",
                "--python",
                python,
                requirement,
            ],
            check=True,
        )
    return found
