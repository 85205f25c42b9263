"""Injects faults during a run; a seed makes the choices repeatable."""

import contextlib
import itertools
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TypeVar

import psutil
import psycopg
import redis

from tests.chaos.fleet import ChaosFleet, Slot
from tests.servers import OwnPostgres, OwnRedis

T = TypeVar("T")


@dataclass(frozen=True)
class Act:
    """A fault to inject; `pick` and `amount` in [0, 1] choose its target and its duration."""

    name: str
    pick: float
    amount: float
    pause: float


_Deed = Callable[[Act], None]


def acts(seed: str, names: Sequence[str], pause: float, rounds: int | None) -> Iterator[Act]:
    """Yield acts: every name once a round, in random order; endlessly if `rounds` is None."""
    draw = Random(seed)
    for _ in itertools.count() if rounds is None else range(rounds):
        for name in draw.sample(names, len(names)):
            yield Act(name, draw.random(), draw.random(), pause * (0.5 + draw.random()))


class Monkey:
    """Does harm until it is stopped, and leaves nothing broken behind.

    One thread does what is over at once, another what lasts: each chooses by itself, so that the
    choices depend on the seed alone.
    """

    def __init__(
        self, fleet: ChaosFleet, *, seed: int, lease: float, pause: float, rounds: int | None
    ) -> None:
        """`pause` is the average of seconds between two acts; see `acts` for `rounds`."""
        self._fleet = fleet
        self._seed, self._lease = seed, lease
        self._pause, self._rounds = pause, rounds
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._error: Exception | None = None
        self.done: Counter[str] = Counter()
        self._sudden: dict[str, _Deed] = {
            "kill a worker": self._kill_worker,
            "kill a training process": self._kill_training,
            "kill a training process again": self._kill_training,
            "kill an API process": self._kill_api,
        }
        self._lasting: dict[str, _Deed] = {
            "stop a worker past its lease": self._stop_worker,
            "stop another one": self._stop_worker,
            "stop a worker and its children past the lease": self._stop_family,
        }

    def add_files(self, database: Path, queue: Path) -> None:
        """Also harm an SQLite database and a filesystem broker."""

        def lock(act: Act) -> None:
            connection = sqlite3.connect(database, timeout=30, isolation_level=None)
            connection.execute("BEGIN IMMEDIATE")
            time.sleep(1 + act.amount * 2 * self._lease)
            connection.rollback()
            connection.close()
            self.done["database locked"] += 1

        def drop(_act: Act) -> None:
            for message in queue.glob("*.msg"):
                message.unlink(missing_ok=True)
                self.done["messages deleted"] += 1
            self.done["queue folder emptied"] += 1

        self._lasting["lock the database"] = lock
        self._sudden["empty the queue"] = drop

    def add_servers(self, postgresql: OwnPostgres, broker: OwnRedis) -> None:
        """Also harm a PostgreSQL and a Redis."""

        def restart(name: str, server: OwnPostgres | OwnRedis) -> Callable[[Act], None]:
            def act(act: Act) -> None:
                server.stop()
                time.sleep(0.2 + act.amount * self._lease)
                server.start()
                self.done[f"{name} stopped and started"] += 1

            return act

        def terminate(_act: Act) -> None:
            self.done["database connections terminated"] += postgresql.terminate_backends()

        def flush(_act: Act) -> None:
            self.done["messages flushed"] += broker.flush()
            self.done["Redis flushed"] += 1

        self._lasting["restart PostgreSQL"] = restart("PostgreSQL", postgresql)
        self._lasting["restart Redis"] = restart("Redis", broker)
        self._sudden["terminate connections"] = _unless_away(terminate)
        self._sudden["flush Redis"] = _unless_away(flush)

    def start(self) -> None:
        for name, deeds in (("sudden", self._sudden), ("lasting", self._lasting)):
            thread = threading.Thread(target=self._run, args=(name, deeds), daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Stop after the current acts. Raises what an act has raised."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        if self._error is not None:
            raise self._error

    def _run(self, kind: str, deeds: Mapping[str, _Deed]) -> None:
        try:
            for act in acts(f"{self._seed} {kind}", list(deeds), self._pause, self._rounds):
                if self._stopped.wait(act.pause):
                    return
                deeds[act.name](act)
        except Exception as error:
            self._error = error

    def _kill_worker(self, act: Act) -> None:
        self.done["workers killed"] += self._kill(self._fleet.workers, act)

    def _kill_api(self, act: Act) -> None:
        self.done["API processes killed"] += self._kill(self._fleet.apis, act)

    def _kill(self, slots: Sequence[Slot], act: Act) -> int:
        """Kill one if all are up; on a busy machine none would come up otherwise."""
        return all(slot.up for slot in slots) and _choose(slots, act).signal(signal.SIGKILL)

    def _kill_training(self, act: Act) -> None:
        found = [slot.training() for slot in self._fleet.workers]
        if training := [process for process in found if process is not None]:
            try:
                _choose(training, act).kill()
            except psutil.NoSuchProcess:
                return  # it has just ended
            self.done["training processes killed"] += 1

    def _stop_worker(self, act: Act) -> None:
        slot = self._busy_worker(act)
        self._suspend(slot.family()[:1], act, busy=slot.training() is not None)

    def _stop_family(self, act: Act) -> None:
        slot = self._busy_worker(act)
        self._suspend(slot.family(), act, busy=slot.training() is not None)

    def _busy_worker(self, act: Act) -> Slot:
        """One that works on a job, if there is one; stopping an idle one tests little."""
        busy = [slot for slot in self._fleet.workers if slot.training()]
        return _choose(busy or self._fleet.workers, act)

    def _suspend(self, processes: Sequence[psutil.Process], act: Act, *, busy: bool) -> None:
        for process in processes:
            _send(process, signal.SIGSTOP)
        time.sleep(self._lease * (1.3 + act.amount))
        for process in processes:
            _send(process, signal.SIGCONT)
        if processes:
            self.done["workers stopped past their lease"] += 1
            self.done["workers stopped past their lease with a job (zombies)"] += busy


def _unless_away(deed: _Deed) -> _Deed:
    """Skip a server that the other thread has stopped."""

    def act(act: Act) -> None:
        with contextlib.suppress(redis.ConnectionError, psycopg.OperationalError):
            deed(act)

    return act


def _choose(found: Sequence[T], act: Act) -> T:
    return found[int(act.pick * len(found))]


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return  # it has ended meanwhile
