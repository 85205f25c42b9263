"""Classifiers and their aliases."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.tables.base import DEFAULT_WORKSPACE, Base

_CHANGED = text("kept_revision != revision")


class Classifier(Base):
    """A classifier: method, options, backbone, image size and memory budget under a name."""

    __tablename__ = "classifiers"
    __table_args__ = (
        UniqueConstraint("workspace", "name"),
        # For the housekeeper, which asks every second: those that it has to look at.
        Index("ix_classifiers_changed", "id", sqlite_where=_CHANGED, postgresql_where=_CHANGED),
    )

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


class ClassifierChange(Base):
    """A change of a classifier, its versions or its aliases, for API processes to follow.

    Transactions may become visible in another order than that of their numbers.
    """

    __tablename__ = "classifier_changes"
    # A number is never used again, even when all rows are gone.
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012 - as SQLAlchemy declares it

    number: Mapped[int] = mapped_column(primary_key=True)
    # Without a foreign key: the deletion of a classifier is a change too.
    classifier_id: Mapped[str] = mapped_column(String(64))
    changed_at: Mapped[datetime]
