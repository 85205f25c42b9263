"""Teaches one classifier after another the same tasks, over HTTP, and follows every job."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.bench import measuring
from app.bench.course import Course, Measured, Record
from app.bench.plan import Plan, Row
from app.bench.tasks import Task
from app.client.client import Client, classifier_path
from app.client.errors import CommandError
from app.client.folder import TarStream
from app.client.jobs import require_success, warnings, watch


@dataclass(frozen=True)
class Look:
    """One look at a job of the step numbered from 0."""

    step: int
    job: dict[str, Any]


@dataclass(frozen=True)
class Learnt:
    """What a finished step made, and the job's warnings."""

    step: int
    measured: Measured
    warnings: list[str]


class School:
    """A server and the tasks; what it was sent once serves every classifier."""

    def __init__(self, client: Client, plan: Plan, tasks: Sequence[Task]) -> None:
        self._client = client
        self._plan = plan
        self._tasks = tasks
        self._uploads: dict[int, str] = {}

    def teach(self, row: Row, seed: int) -> Iterator[Look | Learnt | list[Course]]:
        """Yield how it goes and, at last, a course for each of the row's titles."""
        if not row.separate:
            yield from self._teach(row, seed, range(len(self._tasks)))
            return
        alone = []
        for number in range(len(self._tasks)):
            for said in self._teach(row, seed, [number]):
                if isinstance(said, list):
                    alone.append(said)
                else:
                    yield said
        images = [task.count("test") for task in self._tasks]
        yield [Course.of_separate(courses, images) for courses in zip(*alone, strict=True)]

    def _teach(
        self, row: Row, seed: int, numbers: Sequence[int]
    ) -> Iterator[Look | Learnt | list[Course]]:
        client = self._client
        name = f"bench-{row.method}-{time.time_ns()}"
        path = classifier_path(name)
        client.post("/v1/classifiers", {"name": name, **self._plan.body(row, seed)})
        records = [Record() for _ in row.titles]
        learnt: list[Task] = []
        base: int | None = None
        for number in numbers:
            learnt.append(self._tasks[number])
            request = {"kind": "learn", "uploads": [self._upload(number)], "base_version": base}
            for job in watch(client, client.post(f"{path}/jobs", request)["id"]):
                yield Look(number, job)
            version = client.get(f"{path}/versions/{require_success(job)['version']}")
            base = version["number"]
            records[0].add(Measured.by_the_service(version["metrics"]))
            for record, classify in zip(records[1:], row.also, strict=True):
                record.add(measuring.measure(client, name, version["number"], learnt, classify))
            seconds = _seconds(job)
            for record in records:
                record.seconds += seconds
            yield Learnt(number, records[0].steps[-1], warnings(client, job["id"]))
        yield [record.course(name, version) for record in records]

    def _upload(self, number: int) -> str:
        """Send a task's images unless they were sent; return the upload's id."""
        if number not in self._uploads:
            stream = TarStream(self._tasks[number].members)
            answer = self._client.post_bytes("/v1/uploads", stream, stream.headers)
            if answer["rejected"]:
                first = answer["rejected"][0]
                raise CommandError(f"{first['name']} was rejected: {first['reason']}")
            self._uploads[number] = answer["id"]
        return self._uploads[number]


def _seconds(job: dict[str, Any]) -> float:
    """Return how long a finished job ran."""
    begin, end = (datetime.fromisoformat(job[key]) for key in ("started_at", "finished_at"))
    return (end - begin).total_seconds()
