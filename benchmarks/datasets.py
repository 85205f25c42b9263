"""Real data sets, read from the folder that ACCRUE_DATASETS names; none is in this repository.

The folder holds a ``load.py`` that exports images (``python load.py export NAME FOLDER``) and knows
CIFAR-100's superclasses.
"""

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any


def home() -> Path:
    """Return the folder, or end the program with a message."""
    named = os.environ.get("ACCRUE_DATASETS")
    if not named or not (Path(named) / "load.py").is_file():
        sys.exit("set ACCRUE_DATASETS to the folder of the data sets (it holds load.py)")
    return Path(named)


def load_module() -> Any:
    """Return the folder's ``load.py`` as a module."""
    spec = importlib.util.spec_from_file_location("load", home() / "load.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
