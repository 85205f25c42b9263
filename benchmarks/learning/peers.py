"""Other libraries at the same work, each in an environment of its own."""

import hashlib
import importlib.metadata
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.learning.work import Images, Work, write

_ROOT = Path(__file__).parents[2]
_FOLDER = _ROOT / "benchmarks" / "peers"
# Environments, kept from run to run.
_CACHE = _ROOT / ".peers"
PEERS = {"avalanche": "avalanche-lib"}


def install(name: str) -> Path:
    """Make a library's environment, unless it is there, and return its Python.

    PyTorch has the version that Accrue has. Raises CalledProcessError.
    """
    requirements = _FOLDER / name / "requirements.txt"
    pytorch = [f"{each}=={importlib.metadata.version(each)}" for each in ("torch", "torchvision")]
    wanted = hashlib.sha256(requirements.read_bytes() + repr(pytorch).encode()).hexdigest()
    environment = _CACHE / name
    python, stamp = environment / "bin" / "python", environment / "installed"
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    print(f"Installing {PEERS[name]} into {environment.relative_to(_ROOT)}.", flush=True)
    uv = str(Path(sys.executable).parent / "uv")
    make = [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(environment)]
    subprocess.run(make, check=True)
    install = [uv, "pip", "install", "--quiet", "--python", str(python)]
    subprocess.run([*install, "--requirements", str(requirements), *pytorch], check=True)
    stamp.write_text(wanted)
    return python


def learn(name: str, work: Work, images: Images) -> tuple[float, list[float]]:
    """Return the CPU seconds of a library's process, and its accuracy after each task."""
    python = install(name)
    with tempfile.TemporaryDirectory() as folder:
        write(work, images, Path(folder))
        before = _ended()
        subprocess.run(
            [python, _FOLDER / name / "train.py", folder],
            check=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        )
        found = json.loads((Path(folder) / "found.json").read_text())
        return _ended() - before, found["accuracies"]


def _ended() -> float:
    """Return the CPU seconds of this process's children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
