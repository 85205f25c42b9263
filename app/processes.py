"""What Linux does for processes that belong together."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable


def die_with_parent(parent: int) -> Callable[[], None]:
    """Return a hook with which Linux ends the new child when its parent is killed."""

    def arrange() -> None:
        if sys.platform == "linux":
            pr_set_pdeathsig = 1
            ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
            if os.getppid() != parent:  # it died before the call
                os._exit(1)

    return arrange
