"""Child processes, forked from a server that has PyTorch loaded so that each starts at once.

The worker itself never loads PyTorch: that would cost memory, and a process that has used a GPU
cannot be forked.
"""

import multiprocessing
import signal
from collections.abc import Iterator
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from typing import Any

from app.services.jobs.checkpoints import SavedCheckpoint
from app.services.steps.plans import JobPlan
from worker.protocol import Message, Resources

_CONTEXT = multiprocessing.get_context("forkserver")
_TERMINATE_SECONDS = 2.0
_REAP_SECONDS = 10.0


def start_server(storage_url: str = "") -> None:
    """Start the fork server; it loads PyTorch, and a client of S3 if needed, meanwhile."""
    client = ["app.storage.s3"] if storage_url.startswith("s3://") else []
    _CONTEXT.set_forkserver_preload(["worker.child", *client])
    forkserver.ensure_running()


def probe_device() -> str:
    """Return where this machine trains, ``cuda`` or ``cpu``, once the fork server is ready."""
    up, childs_up = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_probe, args=(childs_up,), daemon=True)
    process.start()
    childs_up.close()
    device: str = up.recv()
    process.join()
    return device


class TrainingProcess:
    """One child process at work on one plan."""

    def __init__(
        self, plan: JobPlan, resources: Resources, checkpoint: SavedCheckpoint | None
    ) -> None:
        """Start the process; it resumes from the checkpoint if there is one.

        Raises OSError or EOFError where no process can be started.
        """
        self._up, childs_up = _CONTEXT.Pipe(duplex=False)
        childs_down, self._down = _CONTEXT.Pipe(duplex=False)
        arguments = (plan, resources, checkpoint, childs_up, childs_down)
        self._process = _CONTEXT.Process(target=_train, args=arguments, daemon=True)
        try:
            self._process.start()
        finally:
            # Only the child may hold its ends: else neither side would see the other one close.
            childs_up.close()
            childs_down.close()
        self.ended = False

    def receive(self, timeout: float) -> Iterator[Message]:
        """Yield the messages, waiting up to `timeout` seconds for the first; sets `ended`."""
        try:
            while self._up.poll(timeout):
                yield self._up.recv()
                timeout = 0.0
        except (EOFError, OSError):  # OSError where it died in the middle of a message
            self.ended = True

    def order_stop(self, *, saving: bool) -> None:
        """Have training stop before its next optimizer step, with or without a checkpoint."""
        try:
            self._down.send(saving)
        except OSError:
            self.ended = True

    def describe_end(self) -> str:
        """Say how the process ended, where it did so by itself."""
        self._process.join(_REAP_SECONDS)
        code = self._process.exitcode
        if code is None or code >= 0:
            return f"ended with status {code}"
        hint = " (most often for lack of memory)" if code == -signal.SIGKILL else ""
        return f"was killed by {signal.Signals(-code).name}{hint}"

    def end(self) -> None:
        """End the process with SIGTERM, then SIGKILL, and close its pipes."""
        self._down.close()
        for force in (self._process.terminate, self._process.kill):
            if self._process.is_alive():
                force()
                self._process.join(_TERMINATE_SECONDS)
        self._up.close()


def _probe(up: Connection) -> None:
    from worker import child  # noqa: PLC0415 - loads PyTorch, in the fork server only

    child.probe(up)


def _train(*arguments: Any) -> None:
    from worker import child  # noqa: PLC0415 - loads PyTorch, in the fork server only

    child.main(*arguments)
