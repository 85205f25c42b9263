"""What accuracy matrices say: forgetting, backward transfer. Plain numbers, for clients as well.

Row i of a matrix is measured after the i-th learning step of the chain of parents and column j on
task j's held-out images; null stands where there is nothing to measure on.
"""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

Row = list[float | None]


def without_tasks(
    history: dict[str, Any], tasks: Sequence[int], remaining: Sequence[int]
) -> dict[str, Any]:
    """Return the metrics of a version that `measure` goes on from once classes are forgotten.

    `tasks` are those of the version's columns, `remaining` those of the columns that are left. The
    matrices lose the columns of tasks that vanish, and the rows in which nothing is left then:
    their steps knew no task of today's. Other rows stay, also those of steps that taught a task
    that vanished: they say how the tasks that are left did at that time. What was measured before
    is not measured again, so earlier entries count classes that have been forgotten since, where
    their task is still there; the row that `measure` appends is about the classes that are left.
    """
    known = sorted(set(tasks))
    places = [place for place, task in enumerate(known) if task in remaining]

    def left(row: Row) -> Row:
        return [row[place] for place in places if place < len(row)]

    rows = [number for number, row in enumerate(history["matrix"]) if left(row)]
    return {
        "matrix": [left(history["matrix"][row]) for row in rows],
        "task_aware_matrix": [left(history["task_aware_matrix"][row]) for row in rows],
        "accuracies": [history["accuracies"][row] for row in rows],
    }


def forgetting(matrix: Sequence[Row]) -> float | None:
    """Return the mean, over older tasks, of the best earlier accuracy less today's.

    Chaudhry et al. 2018, f_j = max_{i<k} a_ij − a_kj. None at the first step.
    """
    *earlier, today = matrix
    losses = []
    for task, now in enumerate(today):
        best = [row[task] for row in earlier if task < len(row)]
        seen = [value for value in best if value is not None]
        if seen and now is not None:
            losses.append(max(seen) - now)
    return average(losses)


def backward_transfer(matrix: Sequence[Row]) -> float | None:
    """Return the mean, over older tasks, of today's accuracy less the one right after learning.

    Lopez-Paz & Ranzato 2017. None at the first step.
    """
    *earlier, today = matrix
    gains = []
    for task, now in enumerate(today):
        first = next((row[task] for row in earlier if task < len(row)), None)
        if first is not None and now is not None:
            gains.append(now - first)
    return average(gains)


def average(values: Sequence[float | None]) -> float | None:
    """Return the mean of what was measured, None where nothing was."""
    measured = [value for value in values if value is not None]
    return fmean(measured) if measured else None
