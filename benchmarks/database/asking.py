"""Asks the routes of an application without its threads, and counts queries and CPU time."""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil
from sqlalchemy import Engine, event, text
from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.repositories import fleet, turns
from app.inference.registry import Registry
from app.main import create_app
from app.services.jobs.event_polling import EventPoller
from app.settings import Settings
from app.storage import open_store
from benchmarks.database.rows import Size, job, upload

ROUNDS = 5
REPEATS = 8


class Cost(NamedTuple):
    """What one request costs: queries, CPU time and bytes of its answer."""

    queries: int
    cpu_ms: float
    bytes: int


def routes(size: Size) -> dict[str, str]:
    """Return the lists and polls by what they show."""
    name, first = "classifier-000000", "/v1/classifiers/classifier-000000"
    queued = job(size.jobs - size.queued // 2)
    return {
        "classifiers": "/v1/classifiers",
        "classifiers by name": "/v1/classifiers?prefix=classifier-0099",
        "a classifier": first,
        "versions": f"{first}/versions",
        "versions with metadata": f'{first}/versions?metadata={{"ticket":"7"}}',
        "versions since": f"{first}/versions?since=2026-02-01T00:00:00Z",
        "a version": "/v1/classifiers/classifier-000001/versions/live",
        "its classes": f"{first}/versions/live/classes",
        "its matrix": "/v1/classifiers/classifier-000001/versions/live/matrix",
        "its exemplars": f"{first}/versions/live/exemplars?label=class 1",
        "aliases": f"{first}/aliases",
        "uploads": "/v1/uploads",
        "an upload": f"/v1/uploads/{upload(0)}",
        "its images": f"/v1/uploads/{upload(0)}/images",
        "jobs": "/v1/jobs",
        "jobs of a classifier": f"/v1/jobs?classifier={name}",
        "queued jobs": "/v1/jobs?state=queued",
        "succeeded jobs": "/v1/jobs?state=succeeded",
        "running jobs": "/v1/jobs?state=running",
        "jobs of two states": "/v1/jobs?state=succeeded,failed",
        "jobs of a kind": "/v1/jobs?kind=evaluate",
        "a queued job": f"/v1/jobs/{queued}",
        "a finished job": f"/v1/jobs/{job(0)}",
        "its events": f"/v1/jobs/{job(0)}/events",
        "its deliveries": f"/v1/jobs/{job(0)}/deliveries",
    }


def polls() -> dict[str, Callable[[Session], Any]]:
    """Return what processes ask the database again and again."""
    return {
        "jobs to start (each second)": lambda session: turns.waiting(session, now=_now()),
        "a worker's next job": lambda session: turns.in_turn(session, "any", now=_now()),
        "figures for /metrics": lambda session: fleet.counts(
            session, now=_now(), workers_since=_now()
        ),
    }


def costs(url: str, size: Size, *, rounds: int = ROUNDS, repeats: int = REPEATS) -> dict[str, Cost]:
    """Return what each route and poll costs, the median of rounds in alternation."""
    return asyncio.run(_costs(url, size, rounds, repeats))


async def _costs(url: str, size: Size, rounds: int, repeats: int) -> dict[str, Cost]:
    settings = Settings(
        database_url=url, storage_url=Path("/nowhere").as_uri(), keys="off", engine="torch"
    )
    app = create_app(settings)
    database = Database(url)
    app.state.database = database
    app.state.event_poller = EventPoller(database, 1)
    # Routes ask it what is in memory: nothing is.
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder)
    app.state.tensors = store
    app.state.registry = Registry(database, store, store, settings)
    clock = Clock(database)
    found: dict[str, list[Cost]] = {}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for _ in range(1 + rounds):  # the first warms up
            for name, path in routes(size).items():
                with clock.measure() as spent:
                    for _ in range(repeats):
                        answer = await client.get(path)
                answer.raise_for_status()
                found.setdefault(name, []).append(_each(spent, repeats, len(answer.content)))
            for name, ask in polls().items():
                with clock.measure() as spent:
                    for _ in range(repeats):
                        with database.reading() as session:
                            ask(session)
                found.setdefault(name, []).append(_each(spent, repeats, 0))
    database.close()
    return {
        name: Cost(
            max(cost.queries for cost in asked[1:]),
            round(statistics.median(cost.cpu_ms for cost in asked[1:]), 2),
            asked[-1].bytes,
        )
        for name, asked in found.items()
    }


def _each(spent: list[float], repeats: int, size: int) -> Cost:
    queries, seconds = spent
    return Cost(round(queries / repeats), seconds * 1000 / repeats, size)


def _now() -> datetime:
    return datetime.now(UTC)


class Clock:
    """Counts queries, and CPU seconds of this process and of the server's for it."""

    def __init__(self, database: Database) -> None:
        self._queries = 0
        self._servers: list[psutil.Process] = []
        event.listen(Engine, "before_cursor_execute", self._count)
        with database.reading() as session:
            if session.get_bind().dialect.name == "postgresql":
                # One request at a time: all use the connection that this one returns.
                pid = session.scalar(text("SELECT pg_backend_pid()"))
                self._servers = [psutil.Process(pid)]

    def _count(self, *_: Any) -> None:
        self._queries += 1

    @contextmanager
    def measure(self) -> Iterator[list[float]]:
        """Give a list that has queries and CPU seconds afterwards."""
        spent: list[float] = []
        queries, seconds = self._queries, self._seconds()
        yield spent
        spent += [self._queries - queries, self._seconds() - seconds]

    def _seconds(self) -> float:
        servers = sum(sum(server.cpu_times()[:2]) for server in self._servers)
        return time.process_time() + servers
