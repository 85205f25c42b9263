"""The tables. One chain of migrations (`migrations/`) makes them on SQLite and PostgreSQL alike.

Words are those of docs/architecture.md. Every owned row names its workspace; rows that hang on a
classifier inherit it from there.
"""

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import Text

DEFAULT_WORKSPACE = "default"
# The alias that `/predict` serves.
LIVE = "live"

JOB_STATES = ("queued", "running", "cancelling", "succeeded", "failed", "cancelled")
HOLDING_STATES = ("running", "cancelling")
FINAL_STATES = ("succeeded", "failed", "cancelled")
DELIVERY_STATES = ("pending", "delivered", "failed")


class UTCDateTime(TypeDecorator[datetime]):
    """Aware UTC times on every database; SQLite keeps them naive."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Store in UTC. Raises ValueError for a time without its zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("times are stored with their zone: pass an aware datetime")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return an aware time."""
        return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


class Base(DeclarativeBase):
    """Declarative base: names every constraint, so that migrations can alter it."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UTCDateTime,
        dict[str, Any]: JSON,
        list[Any]: JSON,
        str: Text,
        int: BigInteger().with_variant(Integer, "sqlite"),
        float: Float,
    }


class Classifier(Base):
    """A named thing that learns: method, options, backbone, image size, memory budget."""

    __tablename__ = "classifiers"
    __table_args__ = (UniqueConstraint("workspace", "name"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    workspace: Mapped[str] = mapped_column(String(64), default=DEFAULT_WORKSPACE)
    name: Mapped[str] = mapped_column(String(200))
    # The validated body of POST /v1/classifiers; of `options` only those that were given.
    spec: Mapped[dict[str, Any]]
    # Highest version number given out; numbers are never used again.
    last_version: Mapped[int] = mapped_column(default=0)
    # Grows with every change of the classifier, its versions and its aliases; housekeeping follows,
    # and writes down here how far it has come.
    revision: Mapped[int] = mapped_column(default=1, server_default="1")
    kept_revision: Mapped[int] = mapped_column(default=0, server_default="0")
    created_at: Mapped[datetime]


class Blob(Base):
    """Bytes in storage under their SHA-256."""

    __tablename__ = "blobs"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    size: Mapped[int]
    created_at: Mapped[datetime]


class Image(Base):
    """A stored image: what its blob holds."""

    __tablename__ = "images"

    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"), primary_key=True)
    media_type: Mapped[str] = mapped_column(String(64))
    width: Mapped[int]
    height: Mapped[int]


class Upload(Base):
    """Labelled images sent in; immutable once a job uses it."""

    __tablename__ = "uploads"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    workspace: Mapped[str] = mapped_column(String(64), default=DEFAULT_WORKSPACE, index=True)
    duplicates: Mapped[int] = mapped_column(default=0)
    rejected: Mapped[list[Any]] = mapped_column(default=list)
    created_at: Mapped[datetime]


class UploadImage(Base):
    """One labelled image of an upload. (upload, position) fixes the order of training images."""

    __tablename__ = "upload_images"
    __table_args__ = (
        CheckConstraint(_one_of("split", ("train", "test")), name="split"),
        # The same bytes may teach two labels, but one label only once.
        UniqueConstraint("upload_id", "label", "sha256"),
    )

    upload_id: Mapped[str] = mapped_column(
        ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sha256: Mapped[str] = mapped_column(ForeignKey("images.sha256"), index=True)
    label: Mapped[str]
    split: Mapped[str] = mapped_column(String(8))
    name: Mapped[str]


class Job(Base):
    """One asynchronous piece of work on a classifier. The database is the queue of record."""

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(_one_of("state", JOB_STATES), name="state"),
        # Learning steps of a classifier are sequential: at most one job holds it.
        Index(
            "uq_jobs_holding_classifier",
            "classifier_id",
            unique=True,
            sqlite_where=text(_one_of("state", HOLDING_STATES)),
            postgresql_where=text(_one_of("state", HOLDING_STATES)),
        ),
        Index("ix_jobs_state_lease", "state", "lease_expires_at"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    workspace: Mapped[str] = mapped_column(String(64), default=DEFAULT_WORKSPACE, index=True)
    classifier_id: Mapped[str] = mapped_column(ForeignKey("classifiers.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(16))
    # What was asked for: options, on_existing, base_version, max_minutes.
    request: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(16), default="queued")
    phase: Mapped[str | None] = mapped_column(String(32))
    progress: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    # What it found out, beside the version it made.
    report: Mapped[dict[str, Any] | None]
    # Resolved when the job starts; null at the first task.
    base_version_id: Mapped[str | None] = mapped_column(
        ForeignKey("versions.id", use_alter=True, ondelete="SET NULL")
    )

    # The fencing token: grows at every claim, never goes back.
    attempt: Mapped[int] = mapped_column(default=0)
    # Lost workers and crashes; reset by retry.
    failures: Mapped[int] = mapped_column(default=0)
    worker_id: Mapped[str | None] = mapped_column(String(64))
    lease_expires_at: Mapped[datetime | None]
    # When a message naming this job was last handed to the broker.
    sent_at: Mapped[datetime | None]

    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class JobUpload(Base):
    """Which uploads a job learns from, in the order they were named."""

    __tablename__ = "job_uploads"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    upload_id: Mapped[str] = mapped_column(ForeignKey("uploads.id"), index=True)


class JobEvent(Base):
    """What happened to a job, in order."""

    __tablename__ = "job_events"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    type: Mapped[str] = mapped_column(String(32))
    level: Mapped[str] = mapped_column(String(8), default="info")
    message: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Checkpoint(Base):
    """The newest checkpoint of a job: a safetensors blob, and where in its training it is."""

    __tablename__ = "checkpoints"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    # The attempt that made it.
    attempt: Mapped[int]
    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"), index=True)
    size: Mapped[int]
    # SHA-256 of all that the training depends on.
    fingerprint: Mapped[str] = mapped_column(String(64))
    # The next step to take, each from 0.
    phase: Mapped[int]
    epoch: Mapped[int]
    step: Mapped[int]
    # What it was computed by: elsewhere rounding may differ.
    device: Mapped[str]
    threads: Mapped[int]
    # The job's progress when it was made.
    progress: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class Webhook(Base):
    """Whom a job tells that it has ended. Apart from the job, so that few see the secret."""

    __tablename__ = "webhooks"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    url: Mapped[str]
    secret: Mapped[str]


class WebhookDelivery(Base):
    """What one end of a job has to tell. It outlives the job: it holds all that is sent."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        CheckConstraint(_one_of("state", DELIVERY_STATES), name="state"),
        Index("ix_webhook_deliveries_state_next", "state", "next_at"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    job_id: Mapped[str | None] = mapped_column(
        ForeignKey("jobs.id", ondelete="SET NULL"), index=True
    )
    type: Mapped[str] = mapped_column(String(32))
    url: Mapped[str]
    # Null once nothing will be sent any more.
    secret: Mapped[str | None]
    # The body, as it is signed.
    payload: Mapped[str]
    state: Mapped[str] = mapped_column(String(16), default="pending")
    # The fencing token of a try, as a job's attempt is.
    attempts: Mapped[int] = mapped_column(default=0)
    # When it is due; while a try is made, when that one is given up as lost.
    next_at: Mapped[datetime | None]
    last_status: Mapped[int | None]
    last_error: Mapped[str | None]
    created_at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]


class Version(Base):
    """The immutable result of a job; versions form a tree by parent."""

    __tablename__ = "versions"
    __table_args__ = (
        UniqueConstraint("classifier_id", "number"),
        # A job publishes at most once, whatever its workers believe.
        UniqueConstraint("job_id"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    classifier_id: Mapped[str] = mapped_column(ForeignKey("classifiers.id", ondelete="CASCADE"))
    number: Mapped[int]
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("versions.id"))
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))
    method: Mapped[str] = mapped_column(String(64))
    # models.Spec as JSON: everything needed to rebuild the servable from the parts.
    spec: Mapped[dict[str, Any]]
    metrics: Mapped[dict[str, Any]]
    # Of the exemplar memory and held-out images, counted at publication.
    memory: Mapped[dict[str, Any]]
    # The highest class index and task that its line has used. Neither is used again, not even
    # where those who had them are forgotten and purged.
    last_index: Mapped[int] = mapped_column(default=-1, server_default="-1")
    last_task: Mapped[int] = mapped_column(default=-1, server_default="-1")
    created_at: Mapped[datetime]


class VersionPart(Base):
    """A named part of a version's tensors (backbone, head, …): a safetensors blob."""

    __tablename__ = "version_parts"

    version_id: Mapped[str] = mapped_column(
        ForeignKey("versions.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"), index=True)


class VersionClass(Base):
    """A class a version knows. Indices are append-only along the chain of parents."""

    __tablename__ = "version_classes"
    __table_args__ = (UniqueConstraint("version_id", "label"),)

    version_id: Mapped[str] = mapped_column(
        ForeignKey("versions.id", ondelete="CASCADE"), primary_key=True
    )
    index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    label: Mapped[str]
    task: Mapped[int]
    # Images the class was trained on when it was learnt (and extended), held-out ones not counted.
    train_images: Mapped[int]
    ranking_id: Mapped[str | None] = mapped_column(ForeignKey("rankings.id"), index=True)
    # How many of the ranking's first images are this version's exemplars of the class.
    kept: Mapped[int] = mapped_column(default=0)


class Ranking(Base):
    """A class's images in herding order, stored once and shared by the versions that follow."""

    __tablename__ = "rankings"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    classifier_id: Mapped[str] = mapped_column(ForeignKey("classifiers.id", ondelete="CASCADE"))


class RankingImage(Base):
    """The image at one rank (0 is the first exemplar)."""

    __tablename__ = "ranking_images"

    ranking_id: Mapped[str] = mapped_column(
        ForeignKey("rankings.id", ondelete="CASCADE"), primary_key=True
    )
    rank: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sha256: Mapped[str] = mapped_column(ForeignKey("images.sha256"), index=True)


class HeldOut(Base):
    """An image never trained on, kept to measure on. A version has its ancestors' too."""

    __tablename__ = "held_out"

    version_id: Mapped[str] = mapped_column(
        ForeignKey("versions.id", ondelete="CASCADE"), primary_key=True
    )
    index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sha256: Mapped[str] = mapped_column(ForeignKey("images.sha256"), index=True)


class Alias(Base):
    """A movable name for a version; ``live`` is what `/predict` serves."""

    __tablename__ = "aliases"

    classifier_id: Mapped[str] = mapped_column(
        ForeignKey("classifiers.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    version_id: Mapped[str] = mapped_column(ForeignKey("versions.id"), index=True)
    updated_at: Mapped[datetime]


class Installation(Base):
    """This database: what tells it from others over the same storage, and its next sweep."""

    __tablename__ = "installation"
    __table_args__ = (CheckConstraint("number = 1", name="one_row"),)

    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, default=1)
    id: Mapped[str] = mapped_column(String(64))
    sweep_due_at: Mapped[datetime]


class Worker(Base):
    """A worker process: where it runs and when it was last heard."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    host: Mapped[str]
    pid: Mapped[int]
    queues: Mapped[list[Any]]
    device: Mapped[str]
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]


class IdempotencyKey(Base):
    """The answer given to a POST that carried an Idempotency-Key."""

    __tablename__ = "idempotency_keys"

    workspace: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    # SHA-256 of method, path and body.
    fingerprint: Mapped[str] = mapped_column(String(64))
    # Null while the first request is under way.
    status: Mapped[int | None]
    headers: Mapped[dict[str, Any] | None]
    body: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(index=True)
