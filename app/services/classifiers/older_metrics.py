"""Metrics as older releases stored them: each version with the matrices of all before it.

`accrue reindex` reads them in manifests of such a release. Migration 0019 has a copy of its own.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from app.db.repositories.accuracies import MeasuredRow
from app.services.classifiers.accuracies import matrices


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
