"""Runs a comparison: teaches the rows that have no result yet, and saves after each."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from app.bench.course import Course
from app.bench.picture import FORMATS, draw
from app.bench.plan import ComparisonPlan, PlanRow
from app.bench.results import Results, table
from app.bench.tasks import Task, fingerprint, folders_as_tasks, read_tasks
from app.bench.teaching import BenchRunner, JobPoll, StepDone
from app.client.client import Client
from app.client.errors import CommandError
from app.client.jobs import JobProgress
from app.client.text import percent


def run(
    plan: ComparisonPlan,
    folders: Sequence[Path],
    client: Client,
    out: Path,
    picture: Path,
    console: Console,
) -> Results:
    """Teach every row with every seed, and show how they compare.

    A row that cannot be taught does not stop the others. CommandError names such rows at the end.
    """
    if picture == out or picture.suffix not in FORMATS:
        raise CommandError(
            f"--picture {picture} must end in {', '.join(FORMATS)} and differ from --out."
        )
    tasks = _tasks(plan, folders)
    results = Results.of(out, plan, fingerprint(tasks))
    results.write(out)  # fails now rather than hours from now
    sizes = ", ".join(str(len(task.labels)) for task in tasks)
    console.print(f"{len(tasks)} tasks of {sizes} classes")
    failed = []
    with JobProgress(console) as progress:
        runner = BenchRunner(client, plan, tasks)
        for row in plan.rows:
            for seed in plan.seeds_of(row):
                if results.has(row, seed):
                    continue
                try:
                    courses = _teach(runner, row, seed, len(tasks), progress)
                except CommandError as error:
                    failed.append(f"{row.titles[0]}, seed {seed}: {error}")
                    continue
                results.add(row, seed, courses)
                results.write(out)
    if results.taught:
        console.print(f"\n{escape(table(results))}\n", soft_wrap=True)
        draw(results, picture)
        console.print(f"Results: {escape(str(out))}\nAs a picture: {escape(str(picture))}")
    if failed:
        raise CommandError("\n".join(failed))
    return results


def _tasks(plan: ComparisonPlan, folders: Sequence[Path]) -> list[Task]:
    if len(folders) > 1:
        return folders_as_tasks(folders, plan.images_per_class)
    return read_tasks(
        folders[0],
        plan.classes_per_task,
        classes=plan.classes,
        order=plan.order,
        images_per_class=plan.images_per_class,
    )


def _teach(
    runner: BenchRunner, row: PlanRow, seed: int, steps: int, progress: JobProgress
) -> list[Course]:
    title = f"{escape(row.titles[0])}, seed {seed}"
    bar = progress.add(title, steps)
    for update in runner.teach(row, seed):
        if isinstance(update, JobPoll):
            progress.show(bar, update.job, step=update.step)
        elif isinstance(update, StepDone):
            measured = update.measured
            progress.console.print(
                f"{title}, task {update.step + 1} of {steps}: {percent(measured.accuracy)}, "
                f"task given {percent(measured.aware_accuracy)}"
            )
            for warning in update.warnings:
                text = f"  [yellow]warning:[/] {escape(warning)}"
                progress.console.print(text, soft_wrap=True)
        else:
            courses = update
    return courses
