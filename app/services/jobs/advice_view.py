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

    accuracy: float | None = Field(description="Null where nothing could be measured.")
    standard_error: float | None
    measured_on: int
    measured: Literal["leave_one_out", "held_out"] = Field(
        description="`leave_one_out`: each image by what was learnt from all others."
    )
    trained_on: int
    seconds: float
    prediction_seconds: float = Field(description="How long a prediction took.")
    bytes_per_class: int = Field(description="What a version keeps of a class.")
    forgets: Literal["exactly", "partly"] = Field(
        description="What is left when a class is forgotten. `exactly`: nothing."
    )
    residual: list[str]
    forgetting: float | None = Field(
        description="What the first half of the classes lost while the second was learnt."
    )
    cut: str | None = Field(description="What was left out for want of time.")


class LeftOutCandidateView(CandidateView):
    """A candidate that was not measured."""

    reason: str


class RecommendationView(BaseModel):
    """Which row to choose."""

    row: int
    why: str
    classifier: dict[str, Any] = Field(
        description="The body of POST /v1/classifiers that makes it, without a name."
    )


class AdviceView(BaseModel):
    """Which method, backbone and image size to choose, and what was measured of each."""

    kind: Literal["advise"] = "advise"
    classes: int
    images: int
    judged: int = Field(description="How many of these the figures rest on.")
    look_alikes: int
    rows: list[AdviceRowView]
    left_out: list[LeftOutCandidateView]
    recommendation: RecommendationView | None
    warnings: list[str]
