"""Jobs as clients see them."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, WithJsonSchema
from sqlalchemy.orm import Session
from typing_extensions import TypeAliasType

from app.db.repositories import jobs as job_rows
from app.db.repositories.jobs import JobRow
from app.db.tables import FINAL_STATES
from app.errors import ServiceError

State = TypeAliasType(
    "State", Literal["queued", "running", "cancelling", "succeeded", "failed", "cancelled"]
)
Kind = TypeAliasType("Kind", Literal["learn", "forget", "correct", "evaluate", "advise"])
Phase = TypeAliasType(
    "Phase",
    Literal[
        "preparing", "training", "extracting", "selecting_exemplars", "evaluating", "publishing"
    ],
)
# The codes of Accrue itself. Methods of other packages may have their own.
ERROR_CODES = (
    "cannot-correct",
    "cannot-forget",
    "cannot-purge",
    "capacity-exhausted",
    "class-already-learnt",
    "data-missing",
    "database-unavailable",
    "job-unreadable",
    "memory-too-small",
    "no-training-images",
    "out-of-memory",
    "read-back-failed",
    "scratch-full",
    "storage-changed",
    "storage-failed",
    "storage-full",
    "task-is-frozen",
    "timed-out",
    "too-many-tasks",
    "training-diverged",
    "training-failed",
    "unknown-base-version",
    "unknown-class",
    "unknown-image",
    "weights-unavailable",
    "weights-unfit",
    "worker-lost",
)
JobErrorCode = TypeAliasType(
    "JobErrorCode",
    Annotated[
        str,
        WithJsonSchema(
            {"anyOf": [{"type": "string", "enum": list(ERROR_CODES)}, {"type": "string"}]}
        ),
    ],
)


class JobNotFoundError(ServiceError, status=404, code="job-not-found"):
    """No job has that id."""


class ProgressView(BaseModel):
    """How far a running job is."""

    fraction: float = Field(description="Done part of the whole job, from 0 to 1.")
    epoch: int | None = Field(description="Counts from 1; null while the job does not train.")
    epochs: int | None = Field(description="The most there are; fewer may do with `epochs: null`.")
    step: int | None
    steps: int | None
    loss: float | None = Field(description="Mean over the epoch so far.")
    images_per_second: float | None
    eta_seconds: float | None = Field(description="Estimated seconds until training ends.")
    held_out_accuracy: float | None = Field(
        None, description="Of the head on held-out images, when it was last measured in training."
    )
    best_held_out_accuracy: float | None = Field(None, description="The best of these so far.")
    second_try: bool | None = Field(
        None,
        description="True once training is tried again at a tenth of the rate: the first try ended "
        "near chance.",
    )


class JobErrorView(BaseModel):
    """Why a job failed."""

    code: JobErrorCode
    detail: str
    retryable: bool


class FailureView(BaseModel):
    """Why an attempt failed after which another one is made."""

    code: JobErrorCode
    detail: str


class JobView(BaseModel):
    """A job as clients see it."""

    id: str
    classifier: str | None = Field(description="Null where the job belongs to none: `advise`.")
    kind: Kind
    state: State
    phase: Phase | None
    attempt: int = Field(description="How often a worker has claimed the job.")
    progress: ProgressView | None
    queue_position: int | None = Field(
        description="Current position among the queued jobs for the same hardware; 1 starts next. "
        "Classifiers take turns. Null unless queued."
    )
    not_before: datetime | None = Field(
        description="When the next attempt may start: there is a pause after one that failed. Null "
        "unless the job waits for that."
    )
    last_failure: FailureView | None = Field(
        description="Why the last attempt failed that was, or is to be, followed by another."
    )
    error: JobErrorView | None
    version: int | None = Field(description="Number of the version that the job made.")
    created_at: datetime
    started_at: datetime | None
    heartbeat_at: datetime | None
    finished_at: datetime | None

    @property
    def finished(self) -> bool:
        """Whether the job has ended."""
        return self.state in FINAL_STATES


class JobDetailView(JobView):
    """A job with what it was asked, and what became of its version."""

    request: dict[str, Any] = Field(
        description="What it was asked: the fields of the request, of a correction the number of "
        "its images, and nothing of the webhook."
    )
    webhook: bool = Field(description="Whether a webhook is told when it ends.")
    base: int | None = Field(
        description="Number of the version that it started from; null before it starts, where "
        "there was none, and where that version is deleted."
    )
    promoted: bool | None = Field(
        description="Whether `live` names its version now; null while it has none."
    )


View = TypeVar("View", bound=JobView)
# Called with the job's view in the transaction that creates or restarts the job.
OnCreated = Callable[[Session, View], None]


def require(session: Session, workspace: str, job_id: str) -> JobRow:
    """Return a job of the workspace. Raises JobNotFoundError."""
    row = job_rows.find(session, workspace, job_id)
    if row is None:
        raise JobNotFoundError("There is no such job.")
    return row


def view(session: Session, workspace: str, job_id: str) -> JobView:
    """Return a job of the workspace as clients see it. Raises JobNotFoundError."""
    return of(require(session, workspace, job_id))


def detail(session: Session, workspace: str, job_id: str) -> JobDetailView:
    """Return a job with what it was asked. Raises JobNotFoundError."""
    row = require(session, workspace, job_id)
    found = job_rows.detail(session, row.job)
    request = dict(row.job.request)
    if "images" in request:
        request["images"] = len(request["images"])
    promoted = None if row.version is None else row.version == found.live
    return JobDetailView(
        **of(row).model_dump(),
        request=request,
        webhook=found.webhook,
        base=found.base,
        promoted=promoted,
    )


def of(row: JobRow) -> JobView:
    """Return a job as clients see it."""
    elsewhere = {name: value for name, value in vars(row).items() if name != "job"}
    # Not all columns: those that are not shown may be large, and are not loaded.
    own = {name: getattr(row.job, name) for name in JobView.model_fields if name not in elsewhere}
    return JobView.model_validate(own | elsewhere)
