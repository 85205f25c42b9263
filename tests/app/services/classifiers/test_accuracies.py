"""Matrices are rebuilt from rows as `models.matrices` changes them step by step."""

import random
from typing import Any

import pytest

from app.db.repositories.accuracies import MeasuredRow
from app.services.classifiers import accuracies, older_metrics
from models.matrices import not_comparable, shrunk, without_tasks

Metrics = dict[str, Any]
EMPTY: Metrics = {"matrix": [], "task_aware_matrix": [], "accuracies": []}


class Version:
    """A version as an older release stored it, and its rows."""

    def __init__(self, number: int, parent: "Version | None") -> None:
        self.number, self.parent = number, parent
        self.tasks: list[int] = list(parent.tasks) if parent else []
        self.metrics: Metrics = EMPTY
        self.rows: list[MeasuredRow] = []

    def lineage(self) -> list[MeasuredRow]:
        before = self.parent.lineage() if self.parent else []
        return [*before, *self.rows]

    def measure(self, history: Metrics, draw: random.Random, remeasured: frozenset[int]) -> None:
        """What `models.evaluate` adds to the history, with drawn accuracies."""
        known = sorted(set(self.tasks))
        # Without held-out images of a task, neither is measured.
        measured = [draw.random() < 0.7 for _ in known]
        row, aware = ([draw.random() if has else None for has in measured] for _ in range(2))
        self.metrics = {
            "matrix": [*history["matrix"], row],
            "task_aware_matrix": [*history["task_aware_matrix"], aware],
            "accuracies": [*history["accuracies"], draw.random()],
        }
        self.rows = [accuracies.own_row(self.number, self.metrics, self.tasks, remeasured)]


def grown(draw: random.Random, steps: int = 14) -> list[Version]:
    """A tree of versions that learn, forget and are corrected, as `models` does it."""
    versions: list[Version] = []
    next_task = 0
    for number in range(1, steps + 1):
        parent = draw.choice(versions[-3:]) if versions else None
        made = Version(number, parent)
        history = parent.metrics if parent else EMPTY
        remeasured = frozenset[int]()
        kind = draw.choice(["learn", "forget", "correct"]) if parent else "learn"
        if kind == "forget" and len(made.tasks) > 2:
            left = draw.sample(range(len(made.tasks)), draw.randint(1, len(made.tasks) - 1))
            before = made.tasks
            made.tasks = [before[column] for column in sorted(left)]
            remeasured = shrunk(before, made.tasks)
            history = without_tasks(history, before, made.tasks)
        elif kind == "correct" and parent is not None:
            remeasured = frozenset(draw.sample(sorted(set(made.tasks)), 1))
            history = not_comparable(history, made.tasks, remeasured)
        else:
            made.tasks = [*made.tasks, *[next_task] * draw.randint(1, 3)]
            next_task += 1
        made.measure(history, draw, remeasured)
        versions.append(made)
    return versions


@pytest.mark.parametrize("seed", range(40))
def test_rows_stored_once_tell_what_whole_matrices_did(seed: int) -> None:
    for version in grown(random.Random(seed)):
        assert accuracies.matrices(version.lineage(), version.tasks) == version.metrics


@pytest.mark.parametrize("seed", range(40))
def test_rows_of_deleted_versions_live_on_in_their_children(seed: int) -> None:
    draw = random.Random(seed)
    versions = grown(draw)
    gone = draw.choice(versions[:-1])
    left = [version for version in versions if version is not gone]
    for child in left:
        if child.parent is gone:
            child.rows = [*gone.rows, *child.rows]
            child.parent = gone.parent
    for version in left:
        assert accuracies.matrices(version.lineage(), version.tasks) == version.metrics


@pytest.mark.parametrize("seed", range(40))
def test_whole_matrices_of_older_releases_become_rows(seed: int) -> None:
    """Also where versions between were deleted, which such a release spliced out."""
    draw = random.Random(seed)
    versions = grown(draw)
    for gone in draw.sample(versions[:-1], 4):
        versions.remove(gone)
        for version in versions:
            if version.parent is gone:
                version.parent = gone.parent
    for version in versions:
        version.rows = []
    existing = {version.number for version in versions}
    for version in versions:
        before = version.parent.lineage() if version.parent else []
        version.rows = older_metrics.own_rows(
            version.metrics, version.number, version.tasks, before, existing
        )
        *deleted, own = version.rows
        assert own.number == version.number
        assert existing.isdisjoint(row.number for row in deleted)
        assert accuracies.matrices(version.lineage(), version.tasks) == version.metrics
        numbers = [row.number for row in version.lineage()]
        assert numbers == sorted(set(numbers))
    stored = sum(len(version.rows) for version in versions)
    assert stored < sum(len(version.metrics["matrix"]) for version in versions)


def test_a_row_of_a_deleted_version_has_not_the_number_of_another() -> None:
    """Versions 2 and 3 were learnt from version 1, which was deleted."""
    metrics = {"matrix": [[0.7], [0.6, 0.5]], "accuracies": [0.7, 0.55]}
    rows = older_metrics.own_rows(metrics, 3, [0, 1], [], {2, 3})
    assert [row.number for row in rows] == [1, 3]


def test_what_says_nothing_of_classes_stays_in_the_metrics() -> None:
    metrics = {**EMPTY, "accuracy": 0.5, "per_class": [0.5], "per_class_measured_on": [4]}
    assert accuracies.without_rows(metrics) == {"accuracy": 0.5}


def test_figures_of_classes_are_found_by_column_and_by_label() -> None:
    new = {"per_class": [0.5, None], "per_class_measured_on": [4, 0]}
    old = {"per_class": {"a": 0.5}}
    assert accuracies.class_columns(new, 0) == {
        "accuracy": 0.5,
        "measured_on": 4,
        "standard_error": None,
    }
    assert accuracies.class_columns(old, "a")["accuracy"] == 0.5
    assert accuracies.class_columns(old, "b")["accuracy"] is None
