"""What a process says while it starts to the one that started it: a line a step, through a pipe.

Without a pipe, as under a container runtime, it is said to nobody.
"""

import contextlib
import os

# The variable with the number of the pipe's file descriptor.
VARIABLE = "ACCRUE_STARTING_PIPE"
# The last line: from here on the process does what it is for.
READY = "is ready"


def say(step: str) -> None:
    """Say what the process is doing, as what follows its name: ``is loading PyTorch``."""
    number = os.environ.get(VARIABLE)
    if number is not None:
        with contextlib.suppress(OSError):  # the one that listened is gone
            os.write(int(number), f"{step}\n".encode())


def say_ready() -> None:
    """Say that the start is over, and close the pipe."""
    say(READY)
    number = os.environ.pop(VARIABLE, None)
    if number is not None:
        with contextlib.suppress(OSError):
            os.close(int(number))
