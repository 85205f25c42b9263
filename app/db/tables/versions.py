"""Versions: tensors, classes, exemplars and held-out images."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from app.db.tables.base import Base


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
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("versions.id"), index=True)
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))
    method: Mapped[str] = mapped_column(String(64))
    # models.Spec as JSON: everything needed to rebuild the servable from the parts.
    spec: Mapped[dict[str, Any]]
    # Without what has rows of its own: figures of each class, and the accuracy matrices.
    metrics: Mapped[dict[str, Any]]
    # Counts of the exemplar memory and of held-out images, taken at publication.
    memory: Mapped[dict[str, Any]]
    # The highest class index and task that this version and its ancestors have used. Neither is
    # reused, even when its classes have been forgotten and purged.
    last_index: Mapped[int] = mapped_column(default=-1, server_default="-1")
    last_task: Mapped[int] = mapped_column(default=-1, server_default="-1")
    # What lists show of its classes and parts; neither ever changes.
    class_count: Mapped[int] = mapped_column(default=0, server_default="0")
    size_bytes: Mapped[int] = mapped_column(default=0, server_default="0")
    # What users note about it; all else never changes.
    annotations: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    created_at: Mapped[datetime]


class AccuracyRow(Base):
    """A row of the accuracy matrices: what was measured when a learning step or an edit was done.

    A version has its own row, and takes over those of a deleted parent. Its matrices are made of
    its rows and its ancestors', in the order of their numbers.
    """

    __tablename__ = "accuracy_rows"

    version_id: Mapped[str] = mapped_column(
        ForeignKey("versions.id", ondelete="CASCADE"), primary_key=True
    )
    # Of the version that was measured, which may have been deleted.
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    # Over all classes.
    accuracy: Mapped[float | None]
    # The tasks known then, the accuracy on each, and the same with the task given.
    tasks: Mapped[list[Any]]
    accuracies: Mapped[list[Any]]
    task_aware: Mapped[list[Any]]
    # The tasks whose held-out images changed, so that rows before this one do not compare.
    remeasured: Mapped[list[Any]]


class VersionPart(Base):
    """A named part of a version's tensors (backbone, head, …): a safetensors blob."""

    __tablename__ = "version_parts"

    version_id: Mapped[str] = mapped_column(
        ForeignKey("versions.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"), index=True)


class VersionClass(Base):
    """A class that a version knows. Indices are append-only along the chain of parents."""

    __tablename__ = "version_classes"
    __table_args__ = (UniqueConstraint("version_id", "label"),)

    version_id: Mapped[str] = mapped_column(
        ForeignKey("versions.id", ondelete="CASCADE"), primary_key=True
    )
    index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    label: Mapped[str]
    task: Mapped[int]
    # Images the class was trained on when it was learnt (and extended), without held-out images.
    train_images: Mapped[int]
    ranking_id: Mapped[str | None] = mapped_column(ForeignKey("rankings.id"), index=True)
    # How many of the ranking's first images are this version's exemplars of the class.
    kept: Mapped[int] = mapped_column(default=0)
    # On the class's held-out images: how many there are, null in versions of older releases; the
    # share that is right, null without images; its standard error.
    measured_on: Mapped[int | None]
    accuracy: Mapped[float | None]
    standard_error: Mapped[float | None]


class Ranking(Base):
    """A class's images in herding order, shared by all versions that have the class."""

    __tablename__ = "rankings"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    classifier_id: Mapped[str] = mapped_column(ForeignKey("classifiers.id", ondelete="CASCADE"))


class RankingImage(Base):
    """The image at one rank of a ranking; rank 0 is the first exemplar."""

    __tablename__ = "ranking_images"

    ranking_id: Mapped[str] = mapped_column(
        ForeignKey("rankings.id", ondelete="CASCADE"), primary_key=True
    )
    rank: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sha256: Mapped[str] = mapped_column(ForeignKey("images.sha256"), index=True)


class TrainedImage(Base):
    """An image that a version was trained on, by its hashes; its bytes may have been deleted.

    A version was trained on its ancestors' images too. Where a correction has taken the label from
    an image, trained on or held out, its version says so, and the newest row of both decides.
    """

    __tablename__ = "trained_images"

    version_id: Mapped[str] = mapped_column(
        ForeignKey("versions.id", ondelete="CASCADE"), primary_key=True
    )
    label: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    # As of the image.
    pixels_sha256: Mapped[str | None] = mapped_column(String(64))
    perceptual_hash: Mapped[str | None] = mapped_column(String(70))
    # The index that the class of that label had; null where an older release did not know it.
    class_index: Mapped[int | None]
    # Whether the image is one of the label no longer.
    taken_out: Mapped[bool] = mapped_column(default=False, server_default=false())
    # As of the upload's image.
    group: Mapped[str | None]


class HeldOut(Base):
    """An image that is never trained on, only measured on. A version uses its ancestors' too."""

    __tablename__ = "held_out"

    version_id: Mapped[str] = mapped_column(
        ForeignKey("versions.id", ondelete="CASCADE"), primary_key=True
    )
    index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sha256: Mapped[str] = mapped_column(ForeignKey("images.sha256"), index=True)
    group: Mapped[str | None]
