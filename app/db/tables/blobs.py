"""Blobs in the storage, and which of them are images."""

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from app.db.tables.base import Base


class Blob(Base):
    """Bytes in storage under their SHA-256."""

    __tablename__ = "blobs"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    size: Mapped[int]
    created_at: Mapped[datetime]
    # When it was first seen that nothing refers to the blob; null while something does.
    unreferenced_since: Mapped[datetime | None]


class Image(Base):
    """What a blob that is an image holds; width and height in pixels."""

    __tablename__ = "images"

    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"), primary_key=True)
    media_type: Mapped[str] = mapped_column(String(64))
    width: Mapped[int]
    height: Mapped[int]
    # What it is recognised by, in whichever file: see `app/imaging/identity.py`. Null where it was
    # stored before release 0010 of the schema and not sent again since, and for images that are
    # too flat for a perceptual hash.
    pixels_sha256: Mapped[str | None] = mapped_column(String(64), index=True)
    perceptual_hash: Mapped[str | None] = mapped_column(String(70))
