"""Teaches each classifier of a comparison the same tasks, over HTTP, and polls its jobs."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.bench import measuring
from app.bench.course import Course, CourseBuilder, StepAccuracy
from app.bench.plan import ComparisonPlan, PlanRow
from app.bench.tasks import Task
from app.client.client import Client, classifier_path
from app.client.errors import CommandError
from app.client.jobs import poll, require_success, warnings
from app.client.uploads import rejected_lines, send_images


@dataclass(frozen=True)
class JobPoll:
    """The state of a job when it was polled; `step` counts from 0."""

    step: int
    job: dict[str, Any]


@dataclass(frozen=True)
class StepDone:
    """The measurement and the warnings of a finished step; `step` counts from 0."""

    step: int
    measured: StepAccuracy
    warnings: list[str]


class BenchRunner:
    """Teaches the tasks to one classifier after another; images are uploaded once for all."""

    def __init__(self, client: Client, plan: ComparisonPlan, tasks: Sequence[Task]) -> None:
        self._client = client
        self._plan = plan
        self._tasks = tasks
        self._uploads: dict[int, str] = {}

    def teach(self, row: PlanRow, seed: int) -> Iterator[JobPoll | StepDone | list[Course]]:
        """Yield the progress and, at the end, a course for each title of the row."""
        if not row.separate:
            yield from self._teach(row, seed, range(len(self._tasks)))
            return
        separate = []
        for number in range(len(self._tasks)):
            for update in self._teach(row, seed, [number]):
                if isinstance(update, list):
                    separate.append(update)
                else:
                    yield update
        images = [task.count("test") for task in self._tasks]
        yield [Course.of_separate(courses, images) for courses in zip(*separate, strict=True)]

    def _teach(
        self, row: PlanRow, seed: int, numbers: Sequence[int]
    ) -> Iterator[JobPoll | StepDone | list[Course]]:
        client = self._client
        name = f"bench-{row.method}-{time.time_ns()}"
        path = classifier_path(name)
        client.post("/v1/classifiers", {"name": name, **self._plan.body(row, seed)})
        builders = [CourseBuilder(), *(CourseBuilder(default_classify=False) for _ in row.also)]
        learnt: list[Task] = []
        base: int | None = None
        for number in numbers:
            learnt.append(self._tasks[number])
            request = {"kind": "learn", "uploads": [self._upload(number)], "base_version": base}
            for job in poll(client, client.post(f"{path}/jobs", request)["id"]):
                yield JobPoll(number, job)
            version = client.get(f"{path}/versions/{require_success(job)['version']}")
            base = version["number"]
            builders[0].steps.append(StepAccuracy.from_metrics(version["metrics"]))
            for builder, classify in zip(builders[1:], row.also, strict=True):
                builder.steps.append(measuring.measure(client, name, base, learnt, classify))
            seconds = _seconds(job)
            for builder in builders:
                builder.seconds += seconds
            yield StepDone(number, builders[0].steps[-1], warnings(client, job["id"]))
        yield [builder.build(name, version) for builder in builders]

    def _upload(self, number: int) -> str:
        """Upload the images of a task, once, and return the id of the upload."""
        if number not in self._uploads:
            upload = send_images(self._client, self._tasks[number].images)
            if upload.not_taken:
                lines = ["The service did not accept every image:", *rejected_lines(upload)]
                raise CommandError("\n".join(lines))
            self._uploads[number] = upload.id
        return self._uploads[number]


def _seconds(job: dict[str, Any]) -> float:
    """Return how long a finished job ran."""
    begin, end = (datetime.fromisoformat(job[key]) for key in ("started_at", "finished_at"))
    return (end - begin).total_seconds()
