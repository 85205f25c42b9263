"""The supervisor, over real processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pytest

from app.cli import supervisor
from app.cli.supervisor import Child, Supervisor


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


SLEEP = python("import time; time.sleep(600)")
STUBBORN = python(
    "import signal, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('ready', flush=True)\n"
    "time.sleep(600)"
)


class Watch:
    """A supervisor with what it said; `at_tick` acts from within its loop."""

    def __init__(self, *children: Child) -> None:
        self.said: list[str] = []
        self.children = children
        self.at_tick: Callable[[], None] = lambda: None
        self.supervisor = Supervisor(children, dict(os.environ), self.said.append, self._tick)
        self.stop = self.supervisor.stop

    def _tick(self) -> None:
        self.at_tick()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_DELAY_SECONDS", 0.01)
    monkeypatch.setattr(supervisor, "GRACE_SECONDS", 1.0)


def pid(child: Child) -> int:
    assert child.process is not None
    return child.process.pid


@contextmanager
def supervised(*commands: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Yield a supervisor in a process of its own, which waits for its children without end.

    It prints the ids of its children again and again; what they print is its standard error.
    """
    code = (
        "import os, sys\n"
        "from app.cli import supervisor\n"
        "supervisor.GRACE_SECONDS = 600\n"
        f"children = [supervisor.Child('child', command) for command in {commands!r}]\n"
        "tell = lambda: print(*(child.process.pid for child in children), flush=True)\n"
        "watch = supervisor.Supervisor(children, dict(os.environ), print, tell)\n"
        "sys.exit(watch.run())\n"
    )
    with subprocess.Popen(
        python(code), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def children_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    assert process.stdout is not None
    return [psutil.Process(int(each)) for each in process.stdout.readline().split()]


def assert_gone(children: list[psutil.Process]) -> None:
    deadline = time.monotonic() + 30
    while any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in children):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_every_child(number: signal.Signals) -> None:
    with supervised(SLEEP, SLEEP) as process:
        children = children_of(process)
        process.send_signal(number)
        assert process.wait(30) == 0
    assert len(children) == 2
    assert_gone(children)


def test_a_second_signal_does_not_wait() -> None:
    with supervised(STUBBORN) as process:
        children = children_of(process)
        assert process.stderr is not None
        assert process.stderr.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert_gone(children)


def test_asking_twice_at_once_does_not_wait(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "GRACE_SECONDS", 600.0)
    stubborn = Child("API", STUBBORN)
    watch = Watch(stubborn)

    def once_ready() -> None:
        if "ready" in capfd.readouterr().err:
            watch.stop()
            watch.stop()

    watch.at_tick = once_ready
    assert watch.supervisor.run() == 0
    assert stubborn.process is not None
    assert stubborn.process.returncode == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells children of their parent's death")
def test_children_do_not_outlive_a_killed_supervisor() -> None:
    with supervised(SLEEP) as process:
        children = children_of(process)
        process.kill()
    assert_gone(children)


def test_a_killed_child_is_started_again_and_the_other_left_alone() -> None:
    killed, other = Child("worker", SLEEP), Child("API", SLEEP)
    watch = Watch(killed, other)
    seen: set[tuple[int, int]] = set()

    def act() -> None:
        if killed.running:
            seen.add((pid(killed), pid(other)))
            if len(seen) == 2:
                watch.stop()
            else:
                os.kill(pid(killed), signal.SIGKILL)

    watch.at_tick = act
    assert watch.supervisor.run() == 0
    (first, untouched), (second, same) = seen
    assert first != second
    assert untouched == same
    assert watch.said == ["The worker was killed by SIGKILL; starting it again in 0.01 s."]


def test_giving_up_on_a_child_that_dies_at_once() -> None:
    bad, good = Child("worker", python("raise SystemExit(3)")), Child("API", SLEEP)
    watch = Watch(bad, good)
    assert watch.supervisor.run() == 1
    assert len(watch.said) == 5
    assert watch.said[-1] == (
        "The worker ended with status 3 before it was ready, 5 times in a row. Giving up; its log "
        "says why."
    )
    assert not good.running


def test_a_slow_start_that_fails_is_given_up_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "SETTLED_SECONDS", 0.1)
    slow = Child("worker", python("import time; time.sleep(0.5); raise SystemExit(3)"))
    watch = Watch(slow)
    assert watch.supervisor.run() == 1
    assert len(watch.said) == 5


def test_a_child_that_was_ready_is_started_again_however_soon_it_dies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervisor, "LONGEST_DELAY_SECONDS", 0.02)
    flighty = Child("worker", python("from app import starting; starting.say_ready()"))
    watch = Watch(flighty)

    def act() -> None:
        if watch.said.count("The worker is ready.") == 7:
            watch.stop()

    watch.at_tick = act
    assert watch.supervisor.run() == 0
    assert flighty.failed_starts == 0


def test_what_children_say_of_their_start_is_passed_on() -> None:
    code = (
        "from app import starting\n"
        "import time\n"
        "starting.say('is loading PyTorch')\n"
        "time.sleep(0.3)\n"
        "starting.say_ready()\n"
        "starting.say('is silent now')\n"
        "time.sleep(60)"
    )
    watch = Watch(Child("worker", python(code)))

    def act() -> None:
        if "The worker is ready." in watch.said:
            watch.stop()

    watch.at_tick = act
    assert watch.supervisor.run() == 0
    assert watch.said == ["The worker is loading PyTorch.", "The worker is ready."]


def test_a_child_that_ignores_the_request_is_killed(capfd: pytest.CaptureFixture[str]) -> None:
    stubborn = Child("API", STUBBORN)
    watch = Watch(stubborn)

    def once_ready() -> None:
        if "ready" in capfd.readouterr().err:
            watch.stop()

    watch.at_tick = once_ready
    assert watch.supervisor.run() == 0
    assert stubborn.process is not None
    assert stubborn.process.returncode == -signal.SIGKILL


def test_what_fails_meanwhile_stops_a_child_that_was_started_ahead() -> None:
    child = Child("API", [sys.executable, "-c", "import time; time.sleep(60)"])
    supervisor = Supervisor([child], dict(os.environ), print, lambda: None)
    with pytest.raises(ZeroDivisionError), supervisor.ahead([child]):
        assert child.running
        raise ZeroDivisionError
    assert not child.running
