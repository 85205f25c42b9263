"""Uploads and their labelled images."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.tables.base import DEFAULT_WORKSPACE, Base, one_of


class Upload(Base):
    """Labelled images sent in; immutable once a job uses it."""

    __tablename__ = "uploads"
    # For lists.
    __table_args__ = (Index("ix_uploads_workspace_id", "workspace", "id"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    workspace: Mapped[str] = mapped_column(String(64), default=DEFAULT_WORKSPACE)
    # Of its images: how many each label has, in the order of the first ones, and how many groups.
    classes: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    groups: Mapped[int] = mapped_column(default=0, server_default="0")
    # How many of its images are only measured on.
    test_images: Mapped[int] = mapped_column(default=0, server_default="0")
    # How many of them show what an earlier one shows under another label.
    contradictions: Mapped[int] = mapped_column(default=0, server_default="0")
    duplicates: Mapped[int] = mapped_column(default=0)
    # The first of the rejected files, and what is known of all of them.
    rejected: Mapped[list[Any]] = mapped_column(default=list)
    rejected_count: Mapped[int] = mapped_column(default=0, server_default="0")
    rejected_reasons: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")
    empty_classes: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")
    wrapping_folder: Mapped[str | None]
    warnings: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")
    created_at: Mapped[datetime]


_GROUPED = text('"group" IS NOT NULL')


class UploadImage(Base):
    """One labelled image of an upload. (upload, position) is the order of training images."""

    __tablename__ = "upload_images"
    __table_args__ = (
        CheckConstraint(one_of("split", ("train", "test")), name="split"),
        # The same image may have two labels, but not the same label twice.
        UniqueConstraint("upload_id", "label", "sha256"),
        # For the groups of an upload that an image is the first of.
        Index(
            "ix_upload_images_upload_id_group_position",
            "upload_id",
            "group",
            "position",
            sqlite_where=_GROUPED,
            postgresql_where=_GROUPED,
        ),
    )

    upload_id: Mapped[str] = mapped_column(
        ForeignKey("uploads.id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    sha256: Mapped[str] = mapped_column(ForeignKey("images.sha256"), index=True)
    label: Mapped[str]
    split: Mapped[str] = mapped_column(String(8))
    name: Mapped[str]
    # What it was taken in: a video track, a session, a patient. The images of one are held out
    # together.
    group: Mapped[str | None]
