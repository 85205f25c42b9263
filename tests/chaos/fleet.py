"""The processes of the service, each restarted when it dies, as a process supervisor does."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil

_TICK_SECONDS = 0.1
_RESTART_SECONDS = 0.5

ACCRUE = [sys.executable, "-P", "-m", "app.cli"]


@dataclass
class Slot:
    """A supervised process. `is_up` takes its id and returns whether it is ready."""

    name: str
    command: Sequence[str]
    log: Path
    is_up: Callable[[int], bool]
    process: subprocess.Popen[bytes] | None = None
    died_at: float | None = None
    deaths: int = 0

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def up(self) -> bool:
        """Whether the process has started and does its work."""
        return self.process is not None and self.running and self.is_up(self.process.pid)

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal to the process; False where there is none."""
        if self.process is None or not self.running:
            return False
        self.process.send_signal(number)
        return True

    def family(self) -> list[psutil.Process]:
        """The process and all its descendants."""
        if self.process is None or not self.running:
            return []
        try:
            process = psutil.Process(self.process.pid)
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def training(self) -> psutil.Process | None:
        """The process that works on a job, if there is one."""
        return next((child for child in self.family() if is_training(child)), None)


def is_training(process: psutil.Process) -> bool:
    try:
        return " ".join(process.cmdline()).startswith("accrue job ")
    except psutil.Error:
        return False


class ChaosFleet:
    """Processes of one service, kept running between `start` and `stop`."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        # Settings of a service on this machine do not apply here.
        own = {name: os.environ[name] for name in os.environ if not name.startswith("ACCRUE_")}
        self._environment = {**own, **environment}
        self._folder = folder
        self._sessions: set[int] = set()
        self._keeping = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self.workers: list[Slot] = []
        self.apis: list[Slot] = []

    @property
    def slots(self) -> list[Slot]:
        return [*self.apis, *self.workers]

    def run(self, *arguments: str, **environment: str) -> str:
        """Run a command of the service, which must succeed."""
        done = subprocess.run(
            [*ACCRUE, *arguments],
            env={**self._environment, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"accrue {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def start(self, workers: int, ports: Iterable[int]) -> None:
        for number in range(workers):
            self.workers.append(self._slot(f"worker-{number}", self._has_registered, "worker"))
        for port in ports:
            command = ("serve", "--port", str(port))
            self.apis.append(self._slot(f"api-{port}", partial(_listens, port), *command))
        self._keeping.set()
        self._keeper.start()

    def stop(self) -> dict[str, int]:
        """Ask every process to end; return their exit statuses by name."""
        self._keeping.clear()
        self._keeper.join()
        for slot in self.slots:
            slot.signal(signal.SIGCONT)
            slot.signal(signal.SIGTERM)
        deadline = time.monotonic() + 60
        statuses = {}
        for slot in self.slots:
            if slot.process is not None:
                try:
                    statuses[slot.name] = slot.process.wait(max(1, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    statuses[slot.name] = -signal.SIGALRM
        return statuses

    def kill(self) -> None:
        """Kill what is left of a run that was interrupted."""
        self._keeping.clear()
        if self._keeper.is_alive():
            self._keeper.join()
        for process in self.left_over(alive=()):
            process.kill()

    def left_over(self, alive: Iterable[Slot]) -> list[psutil.Process]:
        """Return the processes that come from this fleet and from none of these slots."""
        known = {process.pid for slot in alive for process in slot.family()}
        return [process for process in self._all() if process.pid not in known]

    def log_text(self) -> str:
        return "".join(slot.log.read_text() for slot in self.slots if slot.log.exists())

    def _all(self) -> Iterator[psutil.Process]:
        """Every process in a session of ours; forks stay in it."""
        for process in psutil.process_iter():
            try:
                ours = os.getsid(process.pid) in self._sessions
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    yield process
            except (ProcessLookupError, psutil.NoSuchProcess):
                continue

    def _slot(self, name: str, is_up: Callable[[int], bool], *arguments: str) -> Slot:
        return Slot(name, [*ACCRUE, *arguments], self._folder / f"{name}.log", is_up)

    def _has_registered(self, pid: int) -> bool:
        # A worker makes this file when it registers, and touches it as long as it lives.
        names = (path.stem for path in (self._folder / "data/workers").glob("*.alive"))
        return any(str(pid) in name.split("-") for name in names)

    def _keep(self) -> None:
        while self._keeping.is_set():
            now = time.monotonic()
            for slot in self.slots:
                if slot.running:
                    continue
                if slot.process is not None and slot.died_at is None:
                    slot.died_at = now
                    slot.deaths += 1
                if slot.died_at is None or now - slot.died_at >= _RESTART_SECONDS:
                    self._start(slot)
            time.sleep(_TICK_SECONDS)

    def _start(self, slot: Slot) -> None:
        with slot.log.open("ab") as log:
            slot.process = subprocess.Popen(
                slot.command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        slot.died_at = None
        self._sessions.add(slot.process.pid)


def _listens(port: int, _pid: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
