"""The files of the tests lie in memory where there is room.

Every image that is stored, and every commit, waits until the disk has it. What waits longest in
most tests is that, and no test can see whether it was worth it.
"""

import os
import shutil
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")
# What all tests leave together is a third of it.
_ENOUGH = 2 * 10**9


def use_memory() -> None:
    """Make temporary files of this process and its children there, unless TMPDIR says where."""
    if "TMPDIR" in os.environ or not os.access(_MEMORY, os.W_OK | os.X_OK):
        return
    if shutil.disk_usage(_MEMORY).free >= _ENOUGH:
        os.environ["TMPDIR"] = tempfile.tempdir = str(_MEMORY)
