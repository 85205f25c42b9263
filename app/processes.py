"""What Linux does for processes that belong together."""

import ctypes
import os
import signal
import sys


def die_with_parent(parent: int, by: signal.Signals) -> None:
    """Have Linux send this process a signal when its parent ends; `parent` is that one's id.

    For a new child to call. It ends at once where the parent is gone already.
    """
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, by)
        if os.getppid() != parent:
            os._exit(1)


def return_freed_memory() -> None:
    """Return to the system what this process has freed: glibc's malloc keeps most of it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none
    if trim is not None:
        trim(0)
