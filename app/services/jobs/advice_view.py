"""The report of a job that gave advice."""

from typing import Any, Literal

from pydantic import BaseModel, Field


class CandidateView(BaseModel):
    """What a classifier is made of."""

    method: str
    backbone: str
    weights: str | None
    image_size: int


class AdviceRowView(CandidateView):
    """What was measured of one candidate."""

    accuracy: float | None
    standard_error: float | None
    measured_on: int
    measured: Literal["leave_one_out", "held_out"] = Field(
        description="`leave_one_out`: each image by all others."
    )
    trained_on: int
    seconds: float
    prediction_seconds: float
    bytes_per_class: int
    forgets: Literal["exactly", "partly"] = Field(
        description="`exactly`: nothing of a class is left."
    )
    residual: list[str]
    forgetting: float | None = Field(description="What the first half of the classes lost.")
    cut: str | None = Field(description="What there was no time for.")


class LeftOutCandidateView(CandidateView):
    """A candidate that was not measured."""

    reason: str


class RecommendationView(BaseModel):
    """Which row to choose."""

    row: int
    why: str
    classifier: dict[str, Any] = Field(description="A body of POST /v1/classifiers.")


class AdviceView(BaseModel):
    """Which method, backbone and image size to choose, and what was measured of each."""

    kind: Literal["advise"] = "advise"
    classes: int
    images: int
    judged: int
    look_alikes: int
    rows: list[AdviceRowView]
    left_out: list[LeftOutCandidateView]
    recommendation: RecommendationView | None
    warnings: list[str]
