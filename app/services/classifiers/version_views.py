"""Versions as clients see them, and as their metrics and memory are stored."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError
from sqlalchemy.orm import Session

from app.db.repositories import versions as version_rows
from app.db.rows import columns_of
from app.db.tables import Version
from app.imaging.webp import WebP
from app.services.classifiers import accuracies
from app.services.classifiers.annotations import Annotations
from app.services.classifiers.goes_by import GoesByView
from models.engines.names import EngineName, Precision
from models.spec import Settings


class ClassView(BaseModel):
    """A class that a version knows."""

    label: str
    index: int
    task: int
    train_images: int
    exemplars: int


class MeasuredClassView(ClassView):
    """A class that a version knows, with what its held-out images tell."""

    accuracy: float | None
    standard_error: float | None
    measured_on: int | None
    goes_by: GoesByView


class MatrixRowView(BaseModel):
    """A row of a version's accuracy matrices."""

    number: int
    accuracy: float | None
    tasks: list[int]
    accuracies: list[float | None] = Field(description="Null where a task's images have changed.")
    task_aware: list[float | None]


class UnknownView(BaseModel):
    """What `known` in predictions promises, and how much it finds."""

    false_alarms: float = Field(description="Share of known images that may be called unknown.")
    images: int
    classes: int | None = None
    rests_on: Literal["held_out", "left_out"] = Field(
        "held_out",
    )
    scores: list[str]
    detected: float | None = Field(
        description="Share of images of classes left out that are called unknown."
    )


class LeaveOneOutView(BaseModel):
    """Accuracy on training images, each left out of what judges it: not on held-out images."""

    accuracy: float
    images: int
    standard_error: float | None
    grouped: bool = Field(description="Judged by others of their group: too high.")


class MetricsSummary(BaseModel):
    """Metrics on held-out images; null where there is nothing to measure on."""

    goes_by: GoesByView
    accuracy: float | None = Field(None, description="Over all classes so far.")
    standard_error: float | None = None
    measured_on: int | None = None
    average_incremental_accuracy: float | None = Field(
        None, description="Mean of this version and its ancestors."
    )
    forgetting: float | None = Field(
        None,
        description="Mean over older tasks of the best earlier accuracy minus today's.",
    )


class MetricsView(MetricsSummary):
    """All metrics of a version."""

    standard_error_kind: Literal["binomial", "cluster_robust"] | None = None
    measured_on_groups: int | None = Field(None, description="How many groups; null: none.")
    leave_one_out: LeaveOneOutView | None = Field(
        None,
        description="With fewer than 20 held out.",
    )
    training_accuracy: float | None = Field(
        None,
        description="On new images trained on. At chance, training has failed.",
    )
    training_measured_on: int | None = None
    backward_transfer: float | None = Field(
        None, description="Mean over older tasks of today's accuracy minus the first one."
    )
    matrix: list[list[float | None]] = Field(
        default_factory=list, description="[i][j]: accuracy on task j after task i."
    )
    task_aware_accuracy: float | None = None
    task_aware_standard_error: float | None = None
    task_aware_matrix: list[list[float | None]] = Field(default_factory=list)
    router_accuracy: float | None = None
    router_standard_error: float | None = None
    per_class: dict[str, float | None] = Field(default_factory=dict)
    per_class_measured_on: dict[str, int] = Field(default_factory=dict)
    per_class_standard_error: dict[str, float | None] = Field(default_factory=dict)
    calibration_error: float | None = Field(
        None,
    )
    task_aware_calibration_error: float | None = None
    unknown: UnknownView | None = None
    report: dict[str, Any] = Field(default_factory=dict)
    warnings: list[str] = Field(default_factory=list)


class MemoryView(BaseModel):
    """How much a version keeps of images: exemplars, their stored bytes, held-out images."""

    exemplars: int = 0
    bytes: int = 0
    held_out: int = 0
    encoder: WebP | None = Field(
        None,
        description="Of exemplars; null: as sent.",
    )


class EngineView(BaseModel):
    """What runs the network of a version in the process that answers."""

    name: EngineName
    precision: Precision = "fp32"
    relative_time: float | None = Field(None, description="1: as PyTorch.")
    checked_on: Literal["held_out", "exemplars", "noise"] | None = Field(None)
    checked_images: int = 0
    refused: dict[str, str] = Field(default_factory=dict)


class VersionFields(Annotations):
    """What lists show of a version, and its own answer too."""

    number: int
    parent: int | None
    job: str | None
    created_at: datetime
    method: str
    backbone: str | None
    weights: str | None = Field(description="Null: learnt from random weights.")
    image_size: int | None
    class_count: int
    size_bytes: int
    aliases: list[str]


class VersionSummary(VersionFields):
    """A version as lists show it."""

    metrics: MetricsSummary


class LearntWithView(Settings):
    """The settings of the classifier, and of the job, that a version was learnt with."""


class VersionView(VersionFields):
    """A version as clients see it."""

    learnt_with: LearntWithView | None
    classes: list[ClassView]
    metrics: MetricsView
    memory: MemoryView
    new_bytes: int = Field(description="Not in its parent.")
    engine: EngineView | None = Field(
        None,
        description="What runs it in this process; null: not loaded.",
    )


class ExemplarView(BaseModel):
    """An image of the exemplar memory; `GET /v1/images/{sha256}` gives its bytes."""

    label: str
    index: int
    rank: int = Field(description="0: dropped last.")
    sha256: str
    media_type: str
    width: int
    height: int


def summaries(session: Session, rows: Sequence[Version]) -> list[VersionSummary]:
    """Return what lists show of versions, in their order."""
    names = version_rows.aliases(session, [row.id for row in rows])
    parent_ids = [row.parent_id for row in rows if row.parent_id is not None]
    parents = version_rows.numbers(session, parent_ids)
    return [VersionSummary(**_shared(row, parents, names)) for row in rows]


def of(session: Session, row: Version) -> VersionView:
    """Return a whole version."""
    parent_ids = [] if row.parent_id is None else [row.parent_id]
    classes = version_rows.classes(session, [row.id])[row.id]
    sizes = version_rows.part_sizes(session, [row.id, *parent_ids])
    inherited = sizes.get(row.parent_id or "", {})
    shared = _shared(
        row, version_rows.numbers(session, parent_ids), version_rows.aliases(session, [row.id])
    )
    return VersionView(
        learnt_with=_learnt_with(row.spec),
        **shared | {"metrics": shared["metrics"] | accuracies.whole(session, row, classes)},
        classes=[ClassView(**columns_of(known), exemplars=known.kept) for known in classes],
        new_bytes=sum(
            size for sha256, size in sizes.get(row.id, {}).items() if sha256 not in inherited
        ),
    )


def _learnt_with(spec: Mapping[str, Any]) -> LearntWithView | None:
    known = LearntWithView.model_fields.keys() & spec.keys()
    try:
        return LearntWithView.model_validate({name: spec[name] for name in known})
    except ValidationError:
        return None


def _shared(
    row: Version, parents: Mapping[str, int], names: Mapping[str, list[str]]
) -> dict[str, Any]:
    return {
        **columns_of(row),
        **row.annotations,
        "metrics": {**row.metrics, "goes_by": GoesByView.of_version(row.metrics)},
        "parent": parents.get(row.parent_id or ""),
        "job": row.job_id,
        "aliases": names[row.id],
        **{name: row.spec.get(name) for name in ("backbone", "weights", "image_size")},
    }
