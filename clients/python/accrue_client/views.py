"""What the service answers, as models. Fields of newer services are kept as they come."""

from datetime import datetime
from typing import Any, Self

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, ValidationError

from accrue_client.errors import NotAccrueError
from accrue_client.folders import Skipped


class View(BaseModel):
    """The base of all answers."""

    model_config = ConfigDict(extra="allow", frozen=True, arbitrary_types_allowed=True)

    @classmethod
    def of(cls, answer: Any) -> Self:
        """Return JSON as the view that it is. Raises NotAccrueError."""
        try:
            return cls.model_validate(answer)
        except ValidationError as error:
            wrong = ", ".join(".".join(map(str, each["loc"])) or "all" for each in error.errors())
            raise NotAccrueError(
                f"The service answered what this version of accrue-client does not know as "
                f"{cls.__name__} ({wrong}). Is the URL that of the service, and is accrue-client "
                "as new as the service?",
                None,
            ) from error


class Page(View):
    """A page of a list. `next` is where the following one begins."""

    data: list[Any]
    has_more: bool
    next: str | None = None


class Limit(View):
    """A limit of a key: of waiting jobs and stored bytes also how much is `used`."""

    limit: float
    remaining: int
    used: int | None = None
    reset_seconds: int | None = None


class KeyView(View):
    """The key of the client: what it may do, and its limits; None is no limit."""

    id: str | None
    name: str | None
    workspace: str
    scopes: list[str]
    expires_at: datetime | None
    limits: dict[str, Limit | None]


class ClassifierView(View):
    """What a classifier is: see `POST /v1/classifiers` in the documentation of the service."""

    name: str
    method: str
    backbone: str
    weights: str | None = None
    image_size: int | None = None
    description: str = ""
    metadata: dict[str, str] = {}


class RejectedReason(View):
    """Why `count` files were not accepted, with the names of a few."""

    reason: str
    count: int
    examples: list[str] = []


class Upload(View):
    """Labelled images on the service.

    Files that are `skipped` were not sent, those of `rejected_reasons` not accepted.
    `emptied_folders` are folders of which nothing was sent.
    """

    id: str
    classes: dict[str, int]
    splits: dict[str, int] = {}
    accepted: int
    duplicates: int = 0
    rejected_count: int = 0
    rejected_reasons: list[RejectedReason] = []
    empty_classes: list[str] = []
    groups: int = 0
    wrapping_folder: str | None = None
    warnings: list[str] = []
    skipped: list[Skipped] = Field(default=[], exclude=True)
    emptied_folders: list[str] = Field(default=[], exclude=True)

    @property
    def not_taken(self) -> int:
        """How many files were not sent or not accepted."""
        return len(self.skipped) + self.rejected_count


class ProgressView(View):
    """How far a running job is; `fraction` never falls."""

    fraction: float
    epoch: int | None = None
    epochs: int | None = None
    loss: float | None = None
    eta_seconds: float | None = None
    held_out_accuracy: float | None = None
    best_held_out_accuracy: float | None = None


class JobError(View):
    """Why a job failed."""

    code: str
    detail: str
    retryable: bool = False


class JobView(View):
    """A job: `state` is `queued`, `running`, `cancelling`, `succeeded`, `failed` or `cancelled`."""

    id: str
    classifier: str | None
    kind: str
    state: str
    phase: str | None = None
    progress: ProgressView | None = None
    error: JobError | None = None
    version: int | None = None

    @property
    def finished(self) -> bool:
        """Whether the job has ended."""
        return self.state in ("succeeded", "failed", "cancelled")


class Event(View):
    """Something that happened in a job."""

    seq: int
    at: datetime
    type: str
    level: str
    message: str
    data: dict[str, Any] = {}


class GoesBy(View):
    """The accuracy that a version goes by.

    It is on held-out images, or where few are held out, `used` being `trained`, on images that were
    learnt, each left out of what judges it.
    """

    accuracy: float | None = None
    images: int
    standard_error: float | None = None
    used: str


class Metrics(View):
    """What was measured of a version, on held-out images; None where there are none.

    `goes_by` is None with releases that did not have it.
    """

    goes_by: GoesBy | None = None
    accuracy: float | None = None
    standard_error: float | None = None
    measured_on: int | None = None
    forgetting: float | None = None
    average_incremental_accuracy: float | None = None
    warnings: list[str] = []


class VersionView(View):
    """A version."""

    number: int
    parent: int | None = None
    created_at: datetime
    metrics: Metrics
    learnt_with: dict[str, Any] | None = None
    aliases: list[str] = []
    description: str = ""
    metadata: dict[str, str] = {}


class Ranked(View):
    """One of the classes considered."""

    label: str
    score: float
    distance: float | None = None


class Prediction(View):
    """What an image shows. `known` is None where that cannot be told; `known_why` says why.

    `heat_map` is a PNG, where `explain` asked for it.
    """

    label: str
    score: float
    task: int
    known: bool | None = None
    p_known: float | None = None
    known_why: str | None = None
    ranked: list[Ranked] = []
    heat_map: Base64Bytes | None = None


class Unreadable(View):
    """An image of several that has no prediction."""

    code: str
    detail: str


class Confusion(View):
    """`counts[i][j]` images of the class `labels[i]` were called `labels[j]`."""

    labels: list[str]
    counts: list[list[int]]

    @property
    def by_label(self) -> dict[str, dict[str, int]]:
        """By true label, how many images were called what; zeros are left out."""
        return {
            label: {said: count for said, count in zip(self.labels, row, strict=True) if count}
            for label, row in zip(self.labels, self.counts, strict=True)
        }


class ClassFigures(View):
    """What was measured of one class."""

    label: str
    images: int
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None


class EvaluationView(View):
    """How right a version is on labelled images."""

    version: int
    images: int
    accuracy: float | None = None
    standard_error: float | None = None
    per_class: list[ClassFigures] = []
    confusion: Confusion
    left_out: dict[str, int] = {}


class EvaluatedImage(View):
    """An evaluated image: its label, and what the version said."""

    sha256: str
    label: str
    predicted: str
    score: float


class JudgedImage(EvaluatedImage):
    """What a version says of an image that is held out, or left out of what judges it."""

    label_score: float
    used: str


class Suspect(JudgedImage):
    """An image whose label is likely to be wrong."""


class Advice(View):
    """What was measured of methods on the images of uploads, and which to choose."""

    rows: list[dict[str, Any]]
    recommendation: dict[str, Any] | None = None
    warnings: list[str] = []
