"""Figures of accuracy matrices: forgetting, backward transfer. Plain numbers, so clients use it.

Row i of a matrix is measured after the i-th learning step of the chain of parents, and column j on
task j's held-out images; None stands where there are no images to measure on.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from statistics import fmean
from typing import Any

Row = list[float | None]


def without_tasks(
    history: dict[str, Any], tasks: Sequence[int], remaining: Sequence[int]
) -> dict[str, Any]:
    """Return a version's metrics without the tasks of which no class is left after a forget.

    `tasks` are those of the version's columns, `remaining` those of the columns that are left. The
    matrices lose the columns of tasks that vanish, and then the empty rows, whose steps knew none
    of the remaining tasks. Rows of steps that taught a vanished task stay: they show how the
    remaining tasks did at that time. Where a remaining task has lost a class, what was measured
    before is of other images: see `not_comparable`.
    """
    history = not_comparable(history, tasks, shrunk(tasks, remaining))
    known = sorted(set(tasks))
    positions = [position for position, task in enumerate(known) if task in remaining]

    def left(row: Row) -> Row:
        return [row[position] for position in positions if position < len(row)]

    rows = [number for number, row in enumerate(history["matrix"]) if left(row)]
    return {
        "matrix": [left(history["matrix"][row]) for row in rows],
        "task_aware_matrix": [left(history["task_aware_matrix"][row]) for row in rows],
        "accuracies": [history["accuracies"][row] for row in rows],
    }


def shrunk(tasks: Sequence[int], remaining: Sequence[int]) -> frozenset[int]:
    """Return the tasks that have fewer columns in `remaining` than in `tasks`, and still some."""
    before, left = Counter(tasks), Counter(remaining)
    return frozenset(task for task in left if before[task] > left[task])


def not_comparable(
    history: dict[str, Any], tasks: Sequence[int], changed: Collection[int]
) -> dict[str, Any]:
    """Return a version's metrics without what was measured of tasks whose held-out images change.

    `tasks` are those of the version's columns. A difference to earlier accuracies of these tasks
    would be taken for forgetting. The accuracies over all classes stay.
    """
    known = sorted(set(tasks))

    def left(row: Row) -> Row:
        return [None if known[j] in changed else value for j, value in enumerate(row)]

    matrices = ("matrix", "task_aware_matrix")
    return {**history, **{name: [left(row) for row in history[name]] for name in matrices}}


def forgetting(matrix: Sequence[Row]) -> float | None:
    """Return the mean, over older tasks, of the best earlier accuracy minus the current one.

    Chaudhry et al. 2018, f_j = max_{i<k} a_ij − a_kj. None at the first step.
    """
    *earlier, last = matrix
    losses = []
    for task, now in enumerate(last):
        best = [row[task] for row in earlier if task < len(row)]
        seen = [value for value in best if value is not None]
        if seen and now is not None:
            losses.append(max(seen) - now)
    return average(losses)


def backward_transfer(matrix: Sequence[Row]) -> float | None:
    """Return the mean, over older tasks, of current accuracy minus that just after learning.

    Lopez-Paz & Ranzato 2017. None at the first step.
    """
    *earlier, last = matrix
    gains = []
    for task, now in enumerate(last):
        first = next((row[task] for row in earlier if task < len(row)), None)
        if first is not None and now is not None:
            gains.append(now - first)
    return average(gains)


def average(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values that are not None, None without any."""
    measured = [value for value in values if value is not None]
    return fmean(measured) if measured else None
