"""One run: start everything, inject faults while clients work, settle, and check invariants."""

import itertools
import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import httpx
import pytest

from app.db.engine import Database
from app.settings import Settings
from app.storage import open_store
from tests.chaos import invariants
from tests.chaos.clients import METHODS, ChaosClient, Tally
from tests.chaos.fleet import ChaosFleet, is_training
from tests.chaos.monkey import Monkey
from tests.chaos.prober import Prober, picture
from tests.servers import OwnPostgres, OwnRedis, free_port

Backend = Literal["files", "servers"]
TITLES = {"files": "SQLite + filesystem", "servers": "PostgreSQL + Redis"}

LEASE_SECONDS = 2.0
_WORKERS = 3
_SETTLE_SECONDS = 120.0
# With this grace a sweep deletes all unreferenced blobs older than a millisecond.
_NO_GRACE_HOURS = "0.0000003"


@dataclass
class Result:
    """The outcome of a run; a good one has no violations."""

    backend: Backend
    seed: int
    seconds: float
    load: float
    harm: Counter[str]
    counts: Counter[str]
    logged: Counter[str]
    violations: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ChaosPlan:
    """The parameters of a run; see `Monkey` for `seed`, `pause` and `rounds`."""

    jobs: int
    seed: int
    pause: float
    rounds: int | None = None
    classifiers: int = 6
    apis: int = 2


def run(backend: Backend, plan: ChaosPlan, say: Callable[[str], None]) -> Result:
    """Run jobs while faults are injected. Skips if a server is not installed.

    Data and logs are kept where something was violated.
    """
    folder = Path(tempfile.mkdtemp(prefix="accrue-chaos-"))
    # PostgreSQL may run as another user, who must be able to traverse it.
    folder.chmod(0o711)
    keep = True
    try:
        result = _Run(backend, plan, folder, say).through()
        keep = bool(result.violations)
        return result
    except pytest.skip.Exception:
        keep = False
        raise
    finally:
        if keep:
            say(f"data and logs are in {folder}")
        else:
            shutil.rmtree(folder)


class _Run:
    def __init__(
        self, backend: Backend, plan: ChaosPlan, folder: Path, say: Callable[[str], None]
    ) -> None:
        self._backend, self._plan, self._say = backend, plan, say
        self._folder = folder
        self._servers: list[OwnPostgres | OwnRedis] = []
        environment = {
            "ACCRUE_DATA_DIR": str(folder / "data"),
            "ACCRUE_LEASE_SECONDS": str(LEASE_SECONDS),
            "ACCRUE_CANCEL_GRACE_SECONDS": "2",
            "ACCRUE_CHECKPOINT_SECONDS": "1",
            "ACCRUE_TRAIN_THREADS": "1",
            "ACCRUE_INFERENCE_THREADS": "1",
            "ACCRUE_DEVICE": "cpu",
            "OMP_NUM_THREADS": "1",
        }
        if backend == "servers":
            folders = folder / "pg", folder / "redis"
            for own in folders:
                own.mkdir()
            self._postgresql, self._redis = OwnPostgres(folders[0]), OwnRedis(folders[1])
            self._servers = [self._postgresql, self._redis]
            environment["ACCRUE_DATABASE"] = self._postgresql.url
            environment["ACCRUE_BROKER"] = self._redis.url
        self._settings = Settings(
            data_dir=folder / "data",
            database=environment.get("ACCRUE_DATABASE"),
            broker=environment.get("ACCRUE_BROKER"),
            storage=None,
        )
        self._fleet = ChaosFleet(environment, folder)
        self._tally = Tally()

    def through(self) -> Result:
        started, violations = time.monotonic(), self._tally.violations
        try:
            for server in self._servers:
                server.start()
            self._fleet.run("migrate")
            ports = [free_port() for _ in range(self._plan.apis)]
            urls = [f"http://127.0.0.1:{port}" for port in ports]
            self._fleet.start(_WORKERS, ports)
            self._wait("the service to answer", lambda: all(map(_ready, urls)))
            db = Database(self._settings.database_url)
            self._wait("the workers", lambda: not list(invariants.workers(db, self._pids())))
            self._say("all is up, and harm begins")
            monkey = self._monkey()
            prober = self._harm(monkey, urls)
            self._say("all clients are done, and harm ends")
            self._settle(db)
            self._say("all has settled")
            violations += self._all_predict(urls[0], prober)
            prober.stop()
            violations += [
                f"{process.pid} {' '.join(process.cmdline())} is left over"
                for process in self._fleet.left_over(self._fleet.slots)
            ]
            statuses = self._fleet.stop()
            violations += [
                f"{name} ended with {status}"
                for name, status in statuses.items()
                # After a graceful shutdown, uvicorn ends itself by the signal that it got.
                if status not in ((0, -signal.SIGTERM) if name.startswith("api") else (0,))
            ]
            for _ in range(2):  # the first marks what is unreferenced, the second deletes it
                self._fleet.run("sweep", ACCRUE_SWEEP_GRACE_HOURS=_NO_GRACE_HOURS)
            violations += self._check(db, prober)
            db.close()
        finally:
            self._fleet.kill()
            for server in reversed(self._servers):
                server.stop()
        return Result(
            backend=self._backend,
            seed=self._plan.seed,
            seconds=time.monotonic() - started,
            load=os.getloadavg()[1],
            harm=monkey.done,
            counts=self._tally.counts,
            logged=invariants.logs(self._fleet.log_text()),
            violations=violations,
        )

    def _monkey(self) -> Monkey:
        monkey = Monkey(
            self._fleet,
            seed=self._plan.seed,
            lease=LEASE_SECONDS,
            pause=self._plan.pause,
            rounds=self._plan.rounds,
        )
        if self._backend == "servers":
            monkey.add_servers(self._postgresql, self._redis)
        else:
            monkey.add_files(self._settings.data_dir / "accrue.db", self._settings.queue_dir)
        return monkey

    def _harm(self, monkey: Monkey, urls: list[str]) -> Prober:
        """Let clients work while faults are injected, until they are done."""
        plan = self._plan
        methods = itertools.cycle(METHODS)
        names = [f"c{number}-{next(methods)}" for number in range(plan.classifiers)]
        clients = [
            ChaosClient(
                name,
                name.partition("-")[2],
                urls,
                self._tally,
                jobs=len(range(number, plan.jobs, plan.classifiers)),
                seed=plan.seed,
            )
            for number, name in enumerate(names)
        ]
        prober = Prober(urls, names, self._tally)
        for thread in (*clients, prober, monkey):
            thread.start()
        told = time.monotonic()
        while any(client.alive for client in clients):
            time.sleep(0.2)
            if time.monotonic() - told > 15:
                told = time.monotonic()
                accepted, harm = (
                    len(self._tally.jobs),
                    sum(slot.deaths for slot in self._fleet.slots),
                )
                self._say(
                    f"{accepted} of {plan.jobs} jobs accepted, {harm} processes started again"
                )
        monkey.stop()
        return prober

    def _settle(self, db: Database) -> None:
        """Wait until all processes run that should, and no others."""

        def settled() -> bool:
            idle = not any(map(is_training, self._fleet.left_over(())))
            registered = not list(invariants.workers(db, self._pids()))
            up = all(slot.up for slot in self._fleet.slots)
            return idle and registered and up and not self._fleet.left_over(self._fleet.slots)

        self._wait("all to settle", settled, fatal=False)
        self._tally.violations += invariants.workers(db, self._pids())

    def _pids(self) -> list[int]:
        return [slot.process.pid for slot in self._fleet.workers if slot.process and slot.running]

    def _all_predict(self, url: str, prober: Prober) -> Iterator[str]:
        """Every version answers under its number and its aliases."""
        with httpx.Client(base_url=url, timeout=60) as http:
            for classifier in _each(http, "/v1/classifiers"):
                path = f"/v1/classifiers/{classifier['name']}"
                for version in _each(http, f"{path}/versions"):
                    self._tally.count("versions at the end")
                    for name in (version["number"], *version["aliases"]):
                        answer = http.post(
                            f"{path}/predict",
                            params={"version": name},
                            content=picture(),
                            headers={"Content-Type": "image/png"},
                        )
                        if (
                            answer.status_code != 200
                            or answer.json()["version"] != version["number"]
                        ):
                            yield f"{classifier['name']} {name}: {answer.status_code} {answer.text}"

    def _check(self, db: Database, prober: Prober) -> Iterator[str]:
        store = open_store(self._settings.storage_url)
        yield from invariants.database(db)
        yield from invariants.jobs(db, self._tally)
        yield from invariants.publishers(db, self._fleet.log_text())
        yield from invariants.versions(db, prober.answered)
        yield from invariants.storage(db, store)
        yield from invariants.workers(db, [])
        unfinished = list((Path(self._settings.storage_url) / "incoming").iterdir())
        if unfinished:
            yield f"unfinished writes: {unfinished}"
        self._wait("processes to end", lambda: not self._fleet.left_over(()), fatal=False)
        yield from (f"{process} outlived the service" for process in self._fleet.left_over(()))

    def _wait(self, what: str, done: Callable[[], bool], *, fatal: bool = True) -> None:
        deadline = time.monotonic() + _SETTLE_SECONDS
        while not done():
            if time.monotonic() > deadline:
                assert not fatal, f"waited in vain for {what}:\n{self._fleet.log_text()[-5000:]}"
                return
            time.sleep(0.1)


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready", timeout=10).status_code == 200
    except httpx.TransportError:
        return False


def _each(http: httpx.Client, path: str) -> Iterator[dict[str, object]]:
    after: dict[str, str] = {}
    while True:
        page = http.get(path, params={"limit": 100, **after}).raise_for_status().json()
        yield from page["data"]
        if not page["has_more"]:
            return
        after = {"after": page["next"]}
