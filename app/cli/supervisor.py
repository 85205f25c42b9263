"""A process supervisor: exponential backoff for restarts, and a graceful shutdown.

How long a start takes depends on the machine, so no clock tells a failed one from a slow one: the
children say when they are ready.
"""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import FrameType

from app import starting
from app.processes import die_with_parent

# The backoff starts over for a child that lives this long after it was ready.
SETTLED_SECONDS = 10.0
# The supervisor gives up on a child that died so often, in a row, before it was ready.
FAILED_STARTS = 5
FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 8.0
# Longer than a child needs to finish its requests, or to hand back its job.
GRACE_SECONDS = 20.0
_TICK_SECONDS = 0.1


@dataclass
class Child:
    """A supervised process. `sockets` are file descriptors that it inherits."""

    name: str
    command: Sequence[str]
    sockets: Sequence[int] = ()
    process: subprocess.Popen[bytes] | None = None
    # The end of the pipe from which its steps are read, while it starts.
    steps: int | None = None
    ready_at: float | None = None
    start_at: float = 0.0
    failed_starts: int = 0
    quick_deaths: int = 0

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self.process is not None and self.process.poll() is None


@dataclass
class Supervisor:
    """Runs children until SIGINT, SIGTERM, `stop`, or too many quick deaths of one of them.

    `say` prints messages for the user. `tick` is called every `_TICK_SECONDS`.
    """

    children: Sequence[Child]
    environment: Mapping[str, str]
    say: Callable[[str], None]
    tick: Callable[[], None]
    _stops: int = field(default=0, init=False)

    @contextmanager
    def ahead(self, children: Sequence[Child]) -> Iterator[None]:
        """Start children before the others, and stop them where what is done meanwhile fails."""
        for child in children:
            self._start(child)
        try:
            yield
        except BaseException:
            self._end()
            raise

    def run(self) -> int:
        """Supervise until stopped; return exit status 0 when asked to stop, 1 after giving up."""
        previous = {
            number: signal.signal(number, self._on_signal)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            status = self._supervise()
        finally:
            self._end()
            for number, handler in previous.items():
                signal.signal(number, handler)
        return status

    def stop(self) -> None:
        """Have `run` end its children and return; asked again, it kills them."""
        self._stops += 1

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.stop()

    def _supervise(self) -> int:
        while not self._stops:
            for child in self.children:
                self._hear(child)
                if child.running:
                    continue
                if child.process is not None and not self._plan_restart(child):
                    return 1
                if time.monotonic() >= child.start_at:
                    self._start(child)
            self.tick()
            time.sleep(_TICK_SECONDS)
        return 0

    def _start(self, child: Child) -> None:
        child.ready_at = None
        child.steps, childs_end = os.pipe()
        os.set_blocking(child.steps, False)
        child.process = subprocess.Popen(  # noqa: S603 - our own commands
            child.command,
            env={**self.environment, starting.VARIABLE: str(childs_end)},
            stdin=subprocess.DEVNULL,
            # All of it is logs: standard output is for the messages of the supervisor.
            stdout=sys.stderr.fileno(),
            pass_fds=[*child.sockets, childs_end],
            # Ctrl-C signals the process group of the terminal; only the supervisor is in it.
            start_new_session=True,
            # No thread runs here, so code before exec is safe.
            preexec_fn=partial(die_with_parent, os.getpid(), signal.SIGTERM),  # noqa: PLW1509
        )
        os.close(childs_end)

    def _hear(self, child: Child) -> None:
        """Pass on what a child says of its start. Each line is written, and so read, as a whole."""
        if child.steps is None:
            return
        try:
            said = os.read(child.steps, select.PIPE_BUF)
        except BlockingIOError:
            return
        for step in said.decode(errors="replace").splitlines():
            self.say(f"The {child.name} {step}.")
            if step == starting.READY:
                child.ready_at = time.monotonic()
        if not said:  # it has closed its end
            os.close(child.steps)
            child.steps = None

    def _plan_restart(self, child: Child) -> bool:
        """Plan the restart of a dead child, with exponential backoff; return False to give up."""
        assert child.process is not None  # noqa: S101 - narrows the type
        how = _describe_exit(child.process.returncode)
        child.process = None
        self._hear(child)
        if child.steps is not None:  # something that it started holds the other end
            os.close(child.steps)
            child.steps = None
        child.failed_starts = 0 if child.ready_at is not None else child.failed_starts + 1
        if child.failed_starts >= FAILED_STARTS:
            self.say(
                f"The {child.name} {how} before it was ready, {FAILED_STARTS} times in a row. "
                "Giving up; its log says why."
            )
            return False
        settled = child.ready_at is not None and (
            time.monotonic() - child.ready_at >= SETTLED_SECONDS
        )
        child.quick_deaths = 1 if settled else child.quick_deaths + 1
        doublings = min(child.quick_deaths - 1, 10)
        delay = min(FIRST_DELAY_SECONDS * 2**doublings, LONGEST_DELAY_SECONDS)
        child.start_at = time.monotonic() + delay
        self.say(f"The {child.name} {how}; starting it again in {delay:g} s.")
        return True

    def _end(self) -> None:
        """Terminate children, and kill them after `GRACE_SECONDS` or where asked once more."""
        asked = min(self._stops, 1)  # not at all, where it has given up
        for child in self.children:
            _send(child, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while any(child.running for child in self.children):
            if time.monotonic() >= deadline or self._stops > asked:
                for child in self.children:
                    _send(child, signal.SIGKILL)
            time.sleep(_TICK_SECONDS)


def _send(child: Child, number: signal.Signals) -> None:
    if child.process is None or not child.running:
        return
    if number is signal.SIGKILL:
        # It has its own session, so this kills its children too, and nothing else.
        os.killpg(child.process.pid, number)
    else:
        child.process.send_signal(number)


def _describe_exit(status: int) -> str:
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"
