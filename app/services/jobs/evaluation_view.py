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
    precision: float | None = Field(
        description="Of the images called so, the share that is; null where none was called so."
    )
    recall: float | None = Field(
        description="Of its images, the share called so; null where there is none."
    )
    f1: float | None = Field(description="The harmonic mean of the two.")


class BinView(BaseModel):
    """A bin of a reliability diagram: images with a similar highest score."""

    up_to: float = Field(description="The highest score in the bin.")
    images: int
    score: float | None = Field(description="Mean of the highest scores; null without images.")
    accuracy: float | None


class CalibrationView(BaseModel):
    """Whether scores mean what they say."""

    expected_error: float = Field(
        description="Mean over images of |accuracy − mean score| of their bin."
    )
    bins: list[BinView]


class CalledUnknownView(BaseModel):
    """How many of some images were called unknown."""

    images: int
    called_unknown: int | None = Field(description="Null where that cannot be told.")
    share: float | None


class LeftOutView(BaseModel):
    """Images that are not in the figures, and why: an accuracy is of images never trained on."""

    trained: int = Field(description="The version or an ancestor was trained on them.")
    alike: int = Field(description="They look like one that was trained on.")
    same_group: int = Field(0, description="They are of a group that was trained on.")
    repeated: int = Field(description="They are sent more than once under a label.")
    other_tasks: int = Field(description="Their class is not one of the task.")


class EvaluationView(BaseModel):
    """How right a version is."""

    kind: Literal["evaluate"] = "evaluate"
    version: int
    source: Literal["uploads", "held_out"]
    task: int | None
    classify: str
    images: int = Field(description="Images of known labels, which the figures rest on.")
    left_out: LeftOutView
    accuracy: float
    standard_error: float | None = Field(
        description="Of the accuracy: of 20 such figures, 19 are within two of it. Null where all "
        "images are of one group."
    )
    standard_error_kind: Literal["binomial", "cluster_robust"] = "binomial"
    measured_on_groups: int | None = Field(
        None,
        description="How many groups the images are of, one without a group counting as one; null "
        "without groups.",
    )
    per_class: list[ClassFiguresView] = Field(description="In the order of the version's classes.")
    confusion: ConfusionView
    calibration: CalibrationView
    false_alarms: float = Field(description="The share of known images that may be called unknown.")
    known_why: str | None = Field(description="Why nothing is called unknown; else null.")
    known: CalledUnknownView = Field(description="Of the images of known labels.")
    unknown: CalledUnknownView = Field(description="Of the images of labels it does not know.")
    unknown_labels: dict[str, int] = Field(description="These labels, and their images.")


class EvaluatedImageView(BaseModel):
    """What the version says of an image; `GET /v1/images/{sha256}` shows it."""

    position: int
    sha256: str
    label: str
    predicted: str
    score: float = Field(description="Of the predicted class.")
    label_score: float | None = Field(
        description="Of the image's label; null where the version does not know it."
    )
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
