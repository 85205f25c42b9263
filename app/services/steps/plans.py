"""What a job will do, decided once when it starts: pure data for the process that does it.

A plan names every image, class and tensor by value, so that process needs no database.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

from app.db.repositories.learning import IdentifiedImage, SizedImage
from app.services.classifiers.spec import Promotion
from models.spec import Spec


class FreshImage(NamedTuple):
    """A new image to train on; `column` is its class's position in `Plan.classes`."""

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
    # Of a known class: the base version's ranking, and the exemplars kept of it, in order.
    ranking_id: str | None
    exemplars: tuple[SizedImage, ...]
    # Images held out by the base version and its ancestors, and by this job.
    held_out: tuple[str, ...]
    new_held_out: tuple[str, ...]


@dataclass(frozen=True)
class BaseVersion:
    """All that a job's plan takes from the version it starts from; empty at a classifier's first.

    Images are named by their SHA-256.
    """

    version_id: str | None = None
    spec: Spec | None = None
    # Hashes of its tensors by part, and its metrics.
    parts: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, Any] | None = None
    # As they will be in the new version if the job does not change them.
    classes: tuple[PlannedClass, ...] = ()
    # Held out by the version or an ancestor, also of classes that were forgotten since.
    ever_held_out: frozenset[str] = frozenset()
    # Pairs (label then, image) that the version and its ancestors were trained on, also of classes
    # that were forgotten since.
    learnt_before: frozenset[tuple[str, str]] = frozenset()
    # What these images are recognised by in other files.
    identities: tuple[IdentifiedImage, ...] = ()
    # The groups that it and its ancestors were trained on images of, and by (label, image) those of
    # the images held out of its classes.
    trained_groups: frozenset[str] = frozenset()
    held_out_groups: Mapping[tuple[str, str], str] = field(default_factory=dict)
    # The highest class index and task that the version and its ancestors have used.
    last_index: int = -1
    last_task: int = -1

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The labels of its classes, by column."""
        return tuple(planned.label for planned in self.classes)

    @cached_property
    def held_out(self) -> frozenset[str]:
        """Images held out of its classes."""
        return frozenset(sha256 for planned in self.classes for sha256 in planned.held_out)

    @cached_property
    def held_out_group_names(self) -> frozenset[str]:
        """The groups that images were held out of."""
        return frozenset(self.held_out_groups.values())

    @cached_property
    def exemplars(self) -> frozenset[tuple[str, str]]:
        """(label, image) of its exemplars."""
        return frozenset(
            (planned.label, image.sha256) for planned in self.classes for image in planned.exemplars
        )

    @cached_property
    def learnt(self) -> frozenset[str]:
        """Images known to have been learnt, under any label."""
        return frozenset(sha256 for _, sha256 in self.learnt_before | self.exemplars)


@dataclass(frozen=True)
class Plan:
    """What every job that makes a version starts from. `classes` are the new one's, by column."""

    job_id: str
    classifier_id: str
    spec: Spec
    promotion: Promotion
    base_version_id: str | None
    # The base version's tensors, as hashes by part, and its metrics; empty and None at first.
    parts: dict[str, str]
    history: dict[str, Any] | None
    classes: tuple[PlannedClass, ...]
    # The highest class index and task that the new version and its ancestors have used.
    last_index: int
    last_task: int
    # By (label, image), the groups of the images to train on and of those held out, where known.
    groups: Mapping[tuple[str, str], str] = field(default_factory=dict, kw_only=True)
    # Whether images that are or were trained on have groups.
    grouped: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class LearnPlan(Plan):
    """A learning step."""

    fresh: tuple[FreshImage, ...]
    # What the client should know of the images.
    warnings: tuple[str, ...] = ()

    @cached_property
    def trained(self) -> dict[str, set[str]]:
        """The new images to train on, by label."""
        images: dict[str, set[str]] = {}
        for image in self.fresh:
            images.setdefault(self.classes[image.column].label, set()).add(image.sha256)
        return images


@dataclass(frozen=True)
class ForgetPlan(Plan):
    """Classes to forget: their `labels`, and the columns that they have in the base version.

    Classes that are only to be purged, from other versions, have no column.
    """

    labels: tuple[str, ...]
    columns: tuple[int, ...]
    # The task of each of the base version's columns.
    base_tasks: tuple[int, ...]
    # Whether versions and uploads that hold them are deleted as well, and their bytes "now".
    purge: bool | Literal["now"]
