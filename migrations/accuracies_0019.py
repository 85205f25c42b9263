"""What migration 0019 makes of the metrics of versions, as they were stored at that time.

A copy, so that later changes of the service do not change what the migration does.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

_OF_MATRICES = ("matrix", "task_aware_matrix", "accuracies")
# Metrics of each class, with the columns of its row.
_OF_CLASSES = {
    "per_class": "accuracy",
    "per_class_measured_on": "measured_on",
    "per_class_standard_error": "standard_error",
}


class MeasuredRow(NamedTuple):
    """A row of `accuracy_rows` without the version that has it."""

    number: int
    accuracy: float | None
    tasks: list[int]
    accuracies: list[float | None]
    task_aware: list[float | None]
    remeasured: list[int]


def without_rows(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics that have no rows of their own."""
    elsewhere = {*_OF_MATRICES, *_OF_CLASSES}
    return {name: value for name, value in metrics.items() if name not in elsewhere}


def class_columns(metrics: Mapping[str, Any], place: int | str) -> dict[str, Any]:
    """Return what a class's row holds of metrics: `place` is its column or label there."""
    found: dict[str, Any] = {}
    for name, column in _OF_CLASSES.items():
        values = metrics.get(name) or {}  # older releases measured less
        found[column] = values.get(place) if isinstance(values, dict) else values[place]
    return found


def of_classes(classes: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """Return the figures of each class by name and label."""
    per_class = {row.label: row.accuracy for row in classes}
    counted = [row for row in classes if row.measured_on is not None]
    return {
        "per_class": per_class,
        "per_class_measured_on": {row.label: row.measured_on for row in counted},
        "per_class_standard_error": {row.label: row.standard_error for row in counted},
    }


def matrices(rows: Sequence[MeasuredRow], tasks: Collection[int]) -> dict[str, list[Any]]:
    """Return the rows as metrics have them."""
    shown = _shown_rows(rows, tasks)
    return {
        "matrix": [row.accuracies for row in shown],
        "task_aware_matrix": [row.task_aware for row in shown],
        "accuracies": [row.accuracy for row in shown],
    }


def own_rows(
    metrics: Mapping[str, Any],
    number: int,
    tasks: Collection[int],
    before: Sequence[MeasuredRow],
    existing: Collection[int] = (),
) -> list[MeasuredRow]:
    """Return the rows of a version's matrices that its ancestors do not have.

    `tasks` are those of its classes and `before` the ancestors' rows, oldest first. Besides its own
    row these are the rows of ancestors that were deleted. Numbers of tasks only grow, so a row is
    of the first of the version's tasks.

    The numbers of deleted ancestors are not known: they get the last that are free between the
    parent and the version, and never one of the `existing` versions, which are others.
    """
    known = sorted(set(tasks))
    matrix, aware = metrics.get("matrix", []), metrics.get("task_aware_matrix", [])
    accuracies = metrics.get("accuracies", [])
    if not matrix:
        return []
    inherited = matrices(before, known)["matrix"]
    # What contradicts its ancestors keeps its own row at least.
    own = max(len(matrix) - len(inherited), 1)
    first = len(matrix) - own
    changed = {
        known[place]
        for shown, was in zip(matrix[:first], inherited, strict=False)
        for place, (now, then) in enumerate(zip(shown, was, strict=False))
        if now is None and then is not None
    }
    oldest = before[-1].number + 1 if before else 1
    free = [each for each in range(oldest, number) if each not in existing]
    numbers = [*free[max(len(free) - own + 1, 0) :], number]
    if len(numbers) < own:  # it contradicts its ancestors or the versions beside it
        numbers = list(range(number - own + 1, number + 1))
    return [
        MeasuredRow(
            number=numbers[place - first],
            accuracy=accuracies[place] if place < len(accuracies) else None,
            tasks=known[: len(row)],
            accuracies=row,
            task_aware=aware[place] if place < len(aware) else [None] * len(row),
            remeasured=sorted(changed) if place == first else [],
        )
        for place, row in enumerate(matrix)
        if place >= first
    ]


def _shown_rows(rows: Sequence[MeasuredRow], tasks: Collection[int]) -> list[MeasuredRow]:
    """Return the rows as a version with these tasks shows them.

    `rows` are the version's and its ancestors', oldest first. Columns of tasks that were forgotten
    are gone, and so are rows whose steps knew none of the tasks that are left. None stands where
    the held-out images of a task have changed since.
    """
    known, changed = set(tasks), set[int]()
    shown: list[MeasuredRow] = []
    for row in reversed(rows):
        left = [task for task in row.tasks if task in known]
        if left:
            comparable = set(left) - changed
            shown.append(
                row._replace(
                    tasks=left,
                    accuracies=_of_tasks(row, row.accuracies, left, comparable),
                    task_aware=_of_tasks(row, row.task_aware, left, comparable),
                )
            )
        changed.update(row.remeasured)
    return shown[::-1]


def _of_tasks(
    row: MeasuredRow, values: list[float | None], tasks: list[int], comparable: set[int]
) -> list[float | None]:
    of_task = dict(zip(row.tasks, values, strict=True))
    return [of_task[task] if task in comparable else None for task in tasks]
