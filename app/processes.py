"""What Linux does for processes that belong together, and the memory of one."""

import ctypes
import gc
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

# Not fork: other threads of a server may hold locks.
_CONTEXT = multiprocessing.get_context("spawn")
# How many modules were imported when `spare_imported` last did something.
_spared = 0


def die_with_parent(parent: int, by: signal.Signals) -> None:
    """Have Linux send this process a signal when its parent ends; `parent` is that one's id.

    For a new child to call. It ends at once where the parent is gone already.
    """
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, by)
        if os.getppid() != parent:
            os._exit(1)


@contextmanager
def child(target: Callable[..., None], *args: Any) -> Iterator[Connection]:
    """Run a function in a new process, which ends with the block at the latest.

    It gets a connection after `args`, through which it sends; that is read from the one here. A
    process that has died without a word ends it: `recv` raises EOFError.
    """
    ours, theirs = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=target, args=(*args, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        process.kill()
        process.join()
        ours.close()


def return_freed_memory() -> None:
    """Return to the system what this process has freed: glibc's malloc keeps most of it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none
    if trim is not None:
        trim(0)


def spare_imported() -> None:
    """Leave what imports have made out of garbage collections from now on.

    Half a million objects live as long as the process. A full collection looks at each of them, and
    for a fifth of a second no other thread runs. Does nothing if nothing was imported since the
    last call.
    """
    global _spared  # noqa: PLW0603 - two threads at once only do the same twice
    if len(sys.modules) > _spared:
        _spared = len(sys.modules)
        gc.collect()
        gc.freeze()
