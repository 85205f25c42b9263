"""Runs the checks in a process of their own: some load PyTorch or ask a GPU."""

import multiprocessing
import threading
from multiprocessing.connection import Connection

from app.doctor.examination import examine
from app.doctor.findings import CheckContext, Finding, Say

# Of a storage and a broker that do not answer, on a busy machine.
_SECONDS = 120.0
# Not fork: other threads of a server may hold locks.
_PROCESSES = multiprocessing.get_context("spawn")
# One examination at a time, however many ask.
_turn = threading.Lock()


def examine_apart(context: CheckContext) -> list[Finding]:
    """Return the findings of all checks. Blocks for some seconds, and two minutes at most."""
    with _turn:
        ours, theirs = _PROCESSES.Pipe(duplex=False)
        process = _PROCESSES.Process(target=_examine, args=(context, theirs), daemon=True)
        process.start()
        theirs.close()
        try:
            return _received(ours)
        finally:
            process.kill()
            process.join()
            ours.close()


def _examine(context: CheckContext, answer: Connection) -> None:
    answer.send(list(examine(context)))


def _received(ours: Connection) -> list[Finding]:
    try:
        if ours.poll(_SECONDS):
            found: list[Finding] = ours.recv()
            return found
        what = f"The checks have not ended within {_SECONDS:.0f} seconds"
    except EOFError:
        what = "The process that runs the checks has died"
    return [Say("doctor").problem(what, "Run `accrue doctor` on the service's machine.")]
