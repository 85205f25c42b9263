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

    accuracy: float | None = Field(description="From 0 to 1; null where nothing could be measured.")
    standard_error: float | None = Field(
        description="Of the accuracy: of 20 such figures, 19 are within two of it."
    )
    measured_on: int = Field(description="How many images were measured on.")
    measured: Literal["leave_one_out", "held_out"] = Field(
        description="`leave_one_out`: each image by what was learnt from all others. `held_out`: "
        "images that were not trained on."
    )
    trained_on: int = Field(description="How many images were learnt.")
    seconds: float = Field(description="How long that took on this worker.")
    prediction_seconds: float = Field(
        description="How long a prediction took on this worker, the fastest of ten."
    )
    bytes_per_class: int = Field(
        description="What a version keeps of a class: tensors, and images as exemplars."
    )
    forgets: Literal["exactly", "partly"] = Field(
        description="What is left when a class is forgotten. `exactly`: nothing."
    )
    residual: list[str] = Field(
        description="Parts that stay when a class is forgotten, though learnt from its images too."
    )
    forgetting: float | None = Field(
        description="What the first half of the classes lost while the second was learnt; null "
        "where all are learnt at once."
    )
    cut: str | None = Field(
        description="What there was no time for; null where the row is as a classifier would be."
    )


class LeftOutCandidateView(CandidateView):
    """A candidate that was not measured."""

    reason: str


class RecommendationView(BaseModel):
    """Which row to choose."""

    row: int = Field(description="Its position in `rows`, from 0.")
    why: str
    classifier: dict[str, Any] = Field(
        description="The body of POST /v1/classifiers that makes it. Give it a name of yours."
    )


class AdviceView(BaseModel):
    """Which method, backbone and image size to choose, and what was measured of each."""

    kind: Literal["advise"] = "advise"
    classes: int
    images: int = Field(description="Different images in the uploads.")
    judged: int = Field(
        description="How many of these the figures rest on: without those that look like another "
        "one of their class, and at most about 5,000."
    )
    look_alikes: int = Field(
        description="Images that are not judged since they look like another one of their class."
    )
    rows: list[AdviceRowView] = Field(description="In the order in which they were measured.")
    left_out: list[LeftOutCandidateView]
    recommendation: RecommendationView | None = Field(
        description="Null where nothing could be measured."
    )
    warnings: list[str] = Field(description="What is suspicious about images and figures.")
