"""Does the service change what is learnt? The rows of a comparison again, by `models` alone.

    python -m benchmarks.parity FOLDER PLAN RESULTS [--rows NAME…]

RESULTS is what `accrue bench FOLDER --plan PLAN` wrote. Every entry of every matrix has to be the
same; set ACCRUE_TRAIN_THREADS here as for the server, since sums are rounded alike only with the
same number of threads.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from app.bench.plan import ComparisonPlan, PlanRow, read_plan
from app.bench.results import Results
from app.bench.tasks import Task, fingerprint, read_tasks
from app.imaging.decode import decode
from app.settings import Settings
from models.learner import learn
from models.methods import validate
from models.spec import Spec
from models.step import StepData


def steps(spec: Spec, tasks: list[Task]) -> Iterator[dict[str, Any]]:
    """Yield the metrics of each step of the learning core."""
    state = metrics = None
    memory: dict[int, Tensor] = {}
    held_out: list[Tensor] = []
    known: tuple[int, ...] = ()
    for number, task in enumerate(tasks):
        new = {
            len(known) + place: _images(task, "train", label, spec.image_size)
            for place, label in enumerate(task.labels)
        }
        held_out += [_images(task, "test", label, spec.image_size) for label in task.labels]
        known += (number,) * len(new)
        groups = [*memory.items(), *new.items()]
        columns = torch.cat([torch.full((len(x),), column) for column, x in groups])
        data = StepData(
            images=torch.cat([x for _, x in groups]),
            columns=columns,
            sizes=torch.ones_like(columns),
            # A method without memory has only new columns, whatever it learnt before.
            fresh=columns >= len(known) - len(new),
            held_out=torch.cat(held_out),
            held_out_columns=torch.cat(
                [torch.full((len(x),), column) for column, x in enumerate(held_out)]
            ),
            tasks=known,
        )
        weights = Settings().weights_dir
        result = learn(spec, state, data, device="auto", history=metrics, weights_dir=weights)
        state, metrics = result.state, result.metrics
        memory = {
            column: data.images[result.rankings[column]]
            if column in result.rankings
            else memory[column][:kept]
            for column, kept in enumerate(result.kept)
            if kept
        }
        yield metrics


def _images(task: Task, split: str, label: str, size: int) -> Tensor:
    """Return uint8 [n, 3, size, size], in the order in which a client sends them."""
    prefix = f"{split}/{label}/"
    paths = [image.source for image in task.images if image.name.startswith(prefix)]
    pixels = [torch.from_numpy(decode(path.read_bytes(), size).copy()) for path in paths]
    return torch.stack(pixels).permute(0, 3, 1, 2).contiguous()


def agrees(plan: ComparisonPlan, row: PlanRow, results: Results, tasks: list[Task]) -> bool:
    """Return whether the first seed of a row gives the same matrices."""
    seed, course = next(iter(results.courses[row.titles[0]].items()))
    body = plan.body(row, seed)
    del body["validation_fraction"]
    *_, metrics = steps(validate(Spec.model_validate(body)), tasks)
    return bool(
        metrics["matrix"] == course.matrix and metrics["task_aware_matrix"] == course.aware_matrix
    )


def main() -> None:
    """Compare, and exit with status 1 if anything differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("plan", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--rows", nargs="+")
    arguments = parser.parse_args()
    # Like the worker.
    torch.set_num_threads(Settings().train_threads or len(os.sched_getaffinity(0)))
    plan = read_plan(arguments.plan)
    tasks = read_tasks(
        arguments.folder,
        plan.classes_per_task,
        classes=plan.classes,
        order=plan.order,
        images_per_class=plan.images_per_class,
    )
    results = Results.of(arguments.results, plan, fingerprint(tasks))
    rows = [row for row in plan.rows if row.titles[0] in results.taught and not row.separate]
    if arguments.rows:
        rows = [row for row in rows if row.titles[0] in arguments.rows]
    if not rows:
        sys.exit(f"{arguments.results} has no such row to compare")
    differs = False
    for row in rows:
        same = agrees(plan, row, results, tasks)
        differs |= not same
        print(f"{row.titles[0]}: {'the same' if same else 'NOT the same'}", flush=True)
    sys.exit(differs)


if __name__ == "__main__":
    main()
