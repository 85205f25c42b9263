"""What a job will do, decided once when it starts: pure data for the process that does it.

A plan names every image, class and tensor by value; that process asks nobody.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from app.db.repositories.learning import SizedImage


class FreshImage(NamedTuple):
    """A new image to train on; `column` is its class's place in `Plan.classes`."""

    sha256: str
    size: int
    column: int


@dataclass(frozen=True)
class PlannedClass:
    """One column of the new version."""

    label: str
    index: int
    task: int
    # Whether the base version has it.
    known: bool
    # Different images over its whole life, this job's included.
    train_images: int
    # Where it was learnt before: the base version's ranking and what is kept of it, in order.
    ranking_id: str | None
    exemplars: tuple[SizedImage, ...]
    held_out: tuple[str, ...]
    new_held_out: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What any job starts from that makes a version. `classes` are the new one's, by column."""

    job_id: str
    classifier_id: str
    spec: dict[str, Any]
    promotion: dict[str, Any]
    base_version_id: str | None
    # The base version's tensors, as hashes by part, and its metrics; empty and None at first.
    parts: dict[str, str]
    history: dict[str, Any] | None
    classes: tuple[PlannedClass, ...]


@dataclass(frozen=True)
class LearnPlan(Plan):
    """A learning step."""

    fresh: tuple[FreshImage, ...]


@dataclass(frozen=True)
class ForgetPlan(Plan):
    """Classes to forget: their `labels`, and the columns that they have in the base.

    Those that are only to be purged, from other versions, have no column.
    """

    labels: tuple[str, ...]
    columns: tuple[int, ...]
    # The task of each of the base's columns.
    base_tasks: tuple[int, ...]
    # Whether versions and uploads that hold them go as well.
    purge: bool
