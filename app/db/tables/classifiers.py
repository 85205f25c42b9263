"""Classifiers and their aliases."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db.tables.base import DEFAULT_WORKSPACE, Base


class Classifier(Base):
    """A classifier: method, options, backbone, image size and memory budget under a name."""

    __tablename__ = "classifiers"
    __table_args__ = (UniqueConstraint("workspace", "name"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    workspace: Mapped[str] = mapped_column(String(64), default=DEFAULT_WORKSPACE)
    name: Mapped[str] = mapped_column(String(200))
    # The validated body of POST /v1/classifiers; `options` holds only those that were given.
    spec: Mapped[dict[str, Any]]
    # Highest version number given out; numbers are never reused.
    last_version: Mapped[int] = mapped_column(default=0)
    # Grows with every change of the classifier, its versions and its aliases.
    revision: Mapped[int] = mapped_column(default=1, server_default="1")
    # The revision that housekeeping has processed.
    kept_revision: Mapped[int] = mapped_column(default=0, server_default="0")
    created_at: Mapped[datetime]


class Alias(Base):
    """A movable name for a version; ``live`` is what `/predict` serves."""

    __tablename__ = "aliases"

    classifier_id: Mapped[str] = mapped_column(
        ForeignKey("classifiers.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    version_id: Mapped[str] = mapped_column(ForeignKey("versions.id"), index=True)
    updated_at: Mapped[datetime]
