"""What a prediction is asked with and answered with."""

from dataclasses import dataclass

from pydantic import BaseModel, Field

from app.api.raw_body import File
from app.errors import ServiceError
from app.services.requests import RequestBody


class UnreadableError(ServiceError, status=422, code="unreadable-image"):
    """The only image of the request cannot be read."""


class TooManyImagesAtOnceError(ServiceError, status=413, code="too-many-images"):
    """The request has more images than the server accepts at once."""


class Base64Image(RequestBody):
    """One image in JSON."""

    b64: str = Field(json_schema_extra={"format": "byte"})


class PredictForm(BaseModel):
    """A form of images, as documented: the route reads it part by part."""

    files: list[File]


class PredictBody(RequestBody):
    """Images in JSON."""

    images: list[Base64Image] = Field(min_length=1)


class RankedView(BaseModel):
    """One of the classes considered."""

    label: str
    score: float
    distance: float | None = Field(None, description="To the class mean; with nearest_mean only.")


class ImageErrorView(BaseModel):
    """Why an image of a batch has no prediction."""

    code: str
    detail: str


class ImageErrorResult(BaseModel):
    """The result of an image that cannot be read."""

    error: ImageErrorView


class ImageResult(BaseModel):
    """The prediction of one image."""

    label: str
    score: float = Field(description="They sum to 1 over the classes.")
    task: int
    known: bool | None = Field(
        description="Whether it is like images of the classes; null: cannot be told."
    )
    p_known: float | None = Field(description="P-value of `known`.")
    known_why: str | None = Field(None, description="Why `known` is null.")
    ranked: list[RankedView]
    heat_map: str | None = Field(
        None,
        description="With `explain`: a PNG in base64.",
        json_schema_extra={"format": "byte"},
    )


class PredictView(BaseModel):
    """Predictions of all images in their order, and the version that made them."""

    classifier: str
    version: int
    results: list[ImageResult | ImageErrorResult]


@dataclass(frozen=True, slots=True)
class PredictOptions:
    """The query parameters of a prediction."""

    version: str
    top_k: int
    task: int | None
    classify: str
    false_alarms: float | None
    explain: bool
