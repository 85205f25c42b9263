"""Jobs (the queue of record), their events and their checkpoints."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.tables.base import DEFAULT_WORKSPACE, Base, one_of

JOB_STATES = ("queued", "running", "cancelling", "succeeded", "failed", "cancelled")
HOLDING_STATES = ("running", "cancelling")
FINAL_STATES = ("succeeded", "failed", "cancelled")


class Job(Base):
    """One asynchronous piece of work: on a classifier, or on uploads alone."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(one_of("state", JOB_STATES), name="state"),
        # Learning steps of a classifier are sequential: at most one job holds it.
        Index(
            "uq_jobs_holding_classifier",
            "classifier_id",
            unique=True,
            sqlite_where=text(one_of("state", HOLDING_STATES)),
            postgresql_where=text(one_of("state", HOLDING_STATES)),
        ),
        Index("ix_jobs_state_lease", "state", "lease_expires_at"),
        # For lists, of all jobs and of those in a state, of a kind or of a classifier.
        Index("ix_jobs_workspace_id", "workspace", "id"),
        Index("ix_jobs_workspace_state_id", "workspace", "state", "id"),
        Index("ix_jobs_workspace_kind_state_id", "workspace", "kind", "state", "id"),
        Index("ix_jobs_classifier_id_id", "classifier_id", "id"),
        # For `positions` and `turns.waiting`.
        Index(
            "ix_jobs_queued",
            "classifier_id",
            "id",
            sqlite_where=text("state = 'queued'"),
            postgresql_where=text("state = 'queued'"),
        ),
        # For `turns.last_worked_on`.
        Index("ix_jobs_classifier_heartbeat", "classifier_id", "heartbeat_at"),
        # For `turns.is_next`, which is evaluated at each claim.
        Index("ix_jobs_classifier_state", "classifier_id", "state", "id"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    workspace: Mapped[str] = mapped_column(String(64), default=DEFAULT_WORKSPACE)
    # Null where the job belongs to no classifier.
    classifier_id: Mapped[str | None] = mapped_column(
        ForeignKey("classifiers.id", ondelete="CASCADE")
    )
    kind: Mapped[str] = mapped_column(String(16))
    # The request: options, on_existing, base_version, max_minutes and so on.
    request: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(16), default="queued")
    # The job phase, such as `preparing`.
    phase: Mapped[str | None] = mapped_column(String(32))
    progress: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    # What the job found out, besides the version it made.
    report: Mapped[dict[str, Any] | None]
    # Resolved when the job starts; null for a classifier's first task.
    base_version_id: Mapped[str | None] = mapped_column(
        ForeignKey("versions.id", use_alter=True, ondelete="SET NULL"), index=True
    )

    # The fencing token: grows with every claim and never shrinks.
    attempt: Mapped[int] = mapped_column(default=0)
    # Lost workers and crashes; a retry resets it.
    failures: Mapped[int] = mapped_column(default=0)
    # Attempts that ended because storage or database did not answer; a retry resets it.
    outages: Mapped[int] = mapped_column(default=0, server_default="0")
    # Of a queued job: when its next attempt may start, after one that failed.
    not_before: Mapped[datetime | None]
    # Code and detail of the attempt that failed last and was followed by another.
    last_failure: Mapped[dict[str, Any] | None]
    worker_id: Mapped[str | None] = mapped_column(String(64))
    lease_expires_at: Mapped[datetime | None]
    # When a message with this job's id was last handed to the broker.
    sent_at: Mapped[datetime | None]

    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class JobUpload(Base):
    """An upload that a job learns from; `position` is where the request named it."""

    __tablename__ = "job_uploads"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    upload_id: Mapped[str] = mapped_column(ForeignKey("uploads.id"), index=True)


class JobEvent(Base):
    """Something that happened to a job; `seq` counts from 1 and has no gaps."""

    __tablename__ = "job_events"
    __table_args__ = (Index("uq_job_events_identity", "job_id", "identity", unique=True),)

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    type: Mapped[str] = mapped_column(String(32))
    level: Mapped[str] = mapped_column(String(8), default="info")
    message: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)
    # Made before the event is written, where a write may be repeated: it is written once.
    identity: Mapped[str | None] = mapped_column(String(64))


class JobCheckpoint(Base):
    """The newest checkpoint of a job: a safetensors blob, and its position in the training."""

    __tablename__ = "checkpoints"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    # The attempt that made it.
    attempt: Mapped[int]
    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"), index=True)
    size: Mapped[int]
    # SHA-256 of everything that the training depends on.
    fingerprint: Mapped[str] = mapped_column(String(64))
    # The next optimizer step: training phase, epoch and step within it, each from 0.
    phase: Mapped[int]
    epoch: Mapped[int]
    step: Mapped[int]
    # On other hardware, or with other threads, rounding may differ.
    device: Mapped[str]
    threads: Mapped[int]
    # The job's progress when it was made.
    progress: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class EvaluatedImage(Base):
    """What a version says of an image that a job evaluated; its bytes may have been deleted.

    `position` counts from the image that is most surely wrong.
    """

    __tablename__ = "evaluated_images"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sha256: Mapped[str] = mapped_column(String(64))
    label: Mapped[str]
    predicted: Mapped[str]
    score: Mapped[float]
    # Of the label; null where the version does not know it.
    label_score: Mapped[float | None]
    p_known: Mapped[float | None]
    known: Mapped[bool | None]
