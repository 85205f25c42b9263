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

    fraction: float = Field(description="From 0 to 1.")
    epoch: int | None = Field(description="From 1.")
    epochs: int | None
    step: int | None
    steps: int | None
    loss: float | None
    images_per_second: float | None
    eta_seconds: float | None
    held_out_accuracy: float | None = None
    best_held_out_accuracy: float | None = None
    second_try: bool | None = Field(None, description="Training is tried again.")


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
    classifier: str | None = Field(description="Null for `advise`.")
    kind: Kind
    state: State
    phase: Phase | None
    attempt: int
    progress: ProgressView | None
    queue_position: int | None = Field(description="1 starts next on its hardware.")
    not_before: datetime | None = Field(description="Of the next attempt, at the earliest.")
    last_failure: FailureView | None
    error: JobErrorView | None
    version: int | None
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

    request: dict[str, Any]
    webhook: bool
    base: int | None = Field(description="Version that it started from.")
    promoted: bool | None = Field(description="Whether `live` names its version.")


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
