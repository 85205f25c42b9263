"""Runs the checks in a process of their own: some load PyTorch or ask a GPU."""

import threading
from multiprocessing.connection import Connection

from app.doctor.examination import examine
from app.doctor.findings import CheckContext, Finding, Say
from app.processes import child

# Of a storage and a broker that do not answer, on a busy machine.
_SECONDS = 120.0
# One examination at a time, however many ask.
_turn = threading.Lock()


def examine_apart(context: CheckContext) -> list[Finding]:
    """Return the findings of all checks. Blocks for some seconds, and two minutes at most."""
    with _turn, child(_examine, context) as answer:
        return _received(answer)


def _examine(context: CheckContext, answer: Connection) -> None:
    answer.send(list(examine(context)))


def _received(answer: Connection) -> list[Finding]:
    try:
        if answer.poll(_SECONDS):
            found: list[Finding] = answer.recv()
            return found
        what = f"The checks have not ended within {_SECONDS:.0f} seconds"
    except EOFError:
        what = "The process that runs the checks has died"
    return [Say("doctor").problem(what, "Run `accrue doctor` on the service's machine.")]
