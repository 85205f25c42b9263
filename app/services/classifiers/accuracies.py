"""Accuracies of versions as they are stored: figures of a class with it, rows of matrices once.

`models.evaluate` measures them together. What is stored of a version grows with its classes, and
not with the steps before it.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from app.db.repositories import accuracies as accuracy_rows
from app.db.repositories.accuracies import MeasuredRow
from app.db.tables import Version, VersionClass

# Names of metrics that are stored in rows of their own.
_OF_MATRICES = ("matrix", "task_aware_matrix", "accuracies")
# And of those of each class, with the columns of its row.
_OF_CLASSES = {
    "per_class": "accuracy",
    "per_class_measured_on": "measured_on",
    "per_class_standard_error": "standard_error",
}


def without_rows(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics that have no rows of their own."""
    elsewhere = {*_OF_MATRICES, *_OF_CLASSES}
    return {name: value for name, value in metrics.items() if name not in elsewhere}


def own_row(
    number: int, metrics: Mapping[str, Any], tasks: Collection[int], remeasured: Collection[int]
) -> MeasuredRow:
    """Return the last row of the matrices that `models.evaluate` made of a version.

    `tasks` are those of the version's classes.
    """
    matrix, aware, accuracies = (metrics[name][-1] for name in _OF_MATRICES)
    return MeasuredRow(number, accuracies, sorted(set(tasks)), matrix, aware, sorted(remeasured))


def shown_rows(rows: Sequence[MeasuredRow], tasks: Collection[int]) -> list[MeasuredRow]:
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


def matrices(rows: Sequence[MeasuredRow], tasks: Collection[int]) -> dict[str, list[Any]]:
    """Return what `shown_rows` does as `models.evaluate` takes and makes it."""
    shown = shown_rows(rows, tasks)
    return {
        "matrix": [row.accuracies for row in shown],
        "task_aware_matrix": [row.task_aware for row in shown],
        "accuracies": [row.accuracy for row in shown],
    }


def matrices_of(session: Session, version: Version, tasks: Collection[int]) -> dict[str, list[Any]]:
    """Return the matrices of a version whose classes have these tasks."""
    return matrices(accuracy_rows.rows(session, version.id), tasks)


def class_columns(metrics: Mapping[str, Any], place: int | str) -> dict[str, Any]:
    """Return what a class's row holds of metrics: `place` is its column or label there."""
    found: dict[str, Any] = {}
    for name, column in _OF_CLASSES.items():
        values = metrics.get(name) or {}  # older releases measured less
        found[column] = values.get(place) if isinstance(values, dict) else values[place]
    return found


def of_classes(classes: Sequence[VersionClass]) -> dict[str, dict[str, Any]]:
    """Return the figures of each class by name and label."""
    per_class = {row.label: row.accuracy for row in classes}
    counted = [row for row in classes if row.measured_on is not None]
    return {
        "per_class": per_class,
        "per_class_measured_on": {row.label: row.measured_on for row in counted},
        "per_class_standard_error": {row.label: row.standard_error for row in counted},
    }


def whole(session: Session, version: Version, classes: Sequence[VersionClass]) -> dict[str, Any]:
    """Return a version's metrics with its matrices and the figures of its classes."""
    tasks = [row.task for row in classes]
    return {
        **version.metrics,
        **matrices_of(session, version, tasks),
        **of_classes(classes),
    }
