"""What a job will do, decided once when it starts: pure data for the process that does it.

A plan names every image, class and tensor by value, so that process needs no database.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

from app.db.repositories.learning import IdentifiedImage, SizedImage
from app.db.repositories.trained import TrainedRow
from app.db.tables import Job
from app.services.classifiers.spec import Promotion
from app.services.steps.requests import Classify
from models import matrices
from models.spec import Spec


class FreshImage(NamedTuple):
    """A new image to train on; `column` is its class's position in `Plan.classes`.

    `again`: its class rests on that picture already.
    """

    sha256: str
    size: int
    column: int
    again: bool = False


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


def owner_of(job: Job) -> str:
    """Return the id of a job's classifier."""
    assert job.classifier_id is not None  # noqa: S101 - the kinds of jobs that ask have one
    return job.classifier_id


@dataclass(frozen=True)
class BaseVersion:
    """All that a job's plan takes from the version it starts from; empty at a classifier's first.

    Images are named by their SHA-256.
    """

    version_id: str | None = None
    spec: Spec | None = None
    # Hashes of its tensors by part.
    parts: dict[str, str] = field(default_factory=dict)
    # Its matrices, and its accuracy and those before.
    history: dict[str, Any] | None = None
    # As they will be in the new version if the job does not change them.
    classes: tuple[PlannedClass, ...] = ()
    # Held out by the version or an ancestor, also of classes that were forgotten since.
    ever_held_out: frozenset[str] = frozenset()
    # Pairs (label then, image) that the version and its ancestors were trained on, also of classes
    # that were forgotten since.
    learnt_before: frozenset[tuple[str, str]] = frozenset()
    # Those of them that its classes rest on, as they are now.
    learnt_as_now: frozenset[tuple[str, str]] = frozenset()
    # Pairs (label, image) that a correction has undone.
    taken_out: frozenset[tuple[str, str]] = frozenset()
    # What these images are recognised by in other files.
    identities: tuple[IdentifiedImage, ...] = ()
    # By (label then, image), the groups of images that it and its ancestors were trained on, and by
    # (label, image) those of the images held out of its classes.
    trained_group: Mapping[tuple[str, str], str] = field(default_factory=dict)
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
    def trained_groups(self) -> frozenset[str]:
        """The groups that it and its ancestors were trained on images of."""
        return frozenset(self.trained_group.values())

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
        """Images known to have been learnt, under any label, or left out: never measured on."""
        left_out = {sha256 for _, sha256 in self.taken_out} - self.ever_held_out
        return frozenset(sha256 for _, sha256 in self.learnt_before | self.exemplars) | left_out


@dataclass(frozen=True)
class JobPlan:
    """What every job starts from."""

    job_id: str


@dataclass(frozen=True)
class ClassifierPlan(JobPlan):
    """What every job of a classifier starts from."""

    classifier_id: str
    spec: Spec
    base_version_id: str | None
    # The base version's tensors, as hashes by part; empty at first.
    parts: dict[str, str]
    # By column, as they are in the version that the job makes or is about.
    classes: tuple[PlannedClass, ...]


@dataclass(frozen=True)
class Plan(ClassifierPlan):
    """What every job that makes a version starts from."""

    promotion: Promotion
    # The base version's matrices, and its accuracy and those before; None at first.
    history: dict[str, Any] | None
    # The highest class index and task that the new version and its ancestors have used.
    last_index: int
    last_task: int
    # By (label, image), the groups of the images to train on and of those held out, where known.
    groups: Mapping[tuple[str, str], str] = field(default_factory=dict, kw_only=True)
    # Whether images that are or were trained on have groups.
    grouped: bool = field(default=False, kw_only=True)

    @property
    def remeasured(self) -> frozenset[int]:
        """The tasks of the base version whose held-out images change."""
        return frozenset()


@dataclass(frozen=True)
class LearnPlan(Plan):
    """A learning step."""

    fresh: tuple[FreshImage, ...]
    # That of the version it goes on from.
    base_spec: Spec | None = None
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

    @cached_property
    def remeasured(self) -> frozenset[int]:
        """The tasks that lose some classes, and not all."""
        return matrices.shrunk(self.base_tasks, [planned.task for planned in self.classes])


@dataclass(frozen=True)
class CorrectedImage:
    """An image whose label changes from those of `before` to `label`; None: it is left out.

    `files` are all that the version has of its picture, by hash; `held_out`: it is measured on, not
    trained on.
    """

    files: tuple[str, ...]
    before: tuple[str, ...]
    label: str | None
    held_out: bool
    exemplar: bool


@dataclass(frozen=True)
class CorrectPlan(Plan):
    """Images to correct. `classes` have their exemplars and held-out images as they will be."""

    images: tuple[CorrectedImage, ...]
    # What the version's record says from then on, by label.
    record: dict[str, tuple[TrainedRow, ...]]

    @cached_property
    def edited(self) -> tuple[int, ...]:
        """The columns of the classes whose exemplars change."""
        labels = _labels(image for image in self.images if image.exemplar)
        return tuple(
            column for column, planned in enumerate(self.classes) if planned.label in labels
        )

    @cached_property
    def remeasured(self) -> frozenset[int]:
        """The tasks whose held-out images change."""
        labels = _labels(image for image in self.images if image.held_out)
        return frozenset(planned.task for planned in self.classes if planned.label in labels)


def _labels(images: Iterable[CorrectedImage]) -> set[str | None]:
    """Return the labels that images had and get; None where one is left out."""
    return {label for image in images for label in (*image.before, image.label)}


class EvaluatedFile(NamedTuple):
    """A labelled image to evaluate; `column` is None where the version does not know the label.

    `group` is what it was taken in, if that is known.
    """

    sha256: str
    label: str
    column: int | None
    group: str | None = None


@dataclass(frozen=True)
class EvaluatePlan(ClassifierPlan):
    """Images to see what a version says of them; `version` is its number.

    `left_out` counts images that are not evaluated, by why: see `EvaluationView`.
    """

    version: int
    images: tuple[EvaluatedFile, ...]
    left_out: dict[str, int]
    held_out: bool
    task: int | None
    classify: Classify
    false_alarms: float
