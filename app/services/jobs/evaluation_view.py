"""The report of a job that evaluated a version, and what it found image by image."""

from typing import Literal

from pydantic import BaseModel, Field

from app.db.engine import Database
from app.db.repositories import evaluated as evaluated_rows
from app.db.rows import columns_of
from app.errors import ServiceError
from app.services.classifiers.confusion import ConfusionView
from app.services.jobs import views


class NotAnEvaluationError(ServiceError, status=404, code="not-an-evaluation"):
    """The job did not evaluate images, or has not succeeded."""


class ClassFiguresView(BaseModel):
    """The figures of one class."""

    label: str
    images: int
    precision: float | None
    recall: float | None
    f1: float | None


class BinView(BaseModel):
    """A bin of a reliability diagram: images with a similar highest score."""

    up_to: float
    images: int
    score: float | None
    accuracy: float | None


class CalibrationView(BaseModel):
    """Whether scores mean what they say."""

    expected_error: float
    bins: list[BinView]


class CalledUnknownView(BaseModel):
    """How many of some images were called unknown."""

    images: int
    called_unknown: int | None
    share: float | None


class LeftOutView(BaseModel):
    """Images that are not in the figures, and why: an accuracy is of images never trained on."""

    trained: int = Field(description="Trained on by the version or an ancestor.")
    alike: int = Field(description="Like one that was trained on.")
    same_group: int = Field(0, description="Of a group that was trained on.")
    repeated: int = Field(description="Sent more than once under a label.")
    other_tasks: int


class EvaluationView(BaseModel):
    """How right a version is."""

    kind: Literal["evaluate"] = "evaluate"
    version: int
    source: Literal["uploads", "held_out"]
    task: int | None
    classify: str
    images: int
    left_out: LeftOutView
    accuracy: float
    standard_error: float | None
    standard_error_kind: Literal["binomial", "cluster_robust"] = "binomial"
    measured_on_groups: int | None = Field(None, description="How many groups; null: none.")
    per_class: list[ClassFiguresView]
    confusion: ConfusionView
    calibration: CalibrationView
    false_alarms: float
    known_why: str | None = Field(description="Why nothing is called unknown.")
    known: CalledUnknownView
    unknown: CalledUnknownView = Field(description="Of labels that it does not know.")
    unknown_labels: dict[str, int]


class EvaluatedImageView(BaseModel):
    """What the version says of an image; `GET /v1/images/{sha256}` shows it."""

    position: int
    sha256: str
    label: str
    predicted: str
    score: float
    label_score: float | None = Field(description="Null: the label is unknown.")
    known: bool | None
    p_known: float | None


def images(
    db: Database, workspace: str, job_id: str, *, wrong: bool | None, limit: int, after: int
) -> list[EvaluatedImageView]:
    """Return up to `limit` images that a job evaluated, the most surely wrong first.

    Those of labels that the version does not know are last. With `wrong`, only those of known
    labels that it contradicts, or does not. Raises JobNotFoundError and NotAnEvaluationError.
    """
    with db.reading() as session:
        job = views.require(session, workspace, job_id).job
        if job.kind != "evaluate" or job.report is None:
            raise NotAnEvaluationError(
                "Only a job of the kind evaluate lists images, once it has succeeded."
            )
        rows = evaluated_rows.page(session, job_id, wrong=wrong, limit=limit, after=after)
        return [EvaluatedImageView.model_validate(columns_of(row)) for row in rows]
