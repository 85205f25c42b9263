"""Rows of blobs and of the images among them."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.db.tables import Base, Blob, Image


def record(session: Session, sizes: Mapping[str, int], now: datetime) -> None:
    """Record stored blobs, hash to bytes; known ones are left as they are."""
    rows = [{"sha256": key, "size": size, "created_at": now} for key, size in sizes.items()]
    _insert_new(session, Blob, rows)


def record_images(session: Session, images: Iterable[Image]) -> None:
    """Record what image blobs hold; known ones are left as they are."""
    rows = {
        image.sha256: {
            "sha256": image.sha256,
            "media_type": image.media_type,
            "width": image.width,
            "height": image.height,
        }
        for image in images
    }
    _insert_new(session, Image, rows.values())


def image(session: Session, sha256: str) -> Image | None:
    """Return what is known of a stored image."""
    return session.get(Image, sha256)


def _insert_new(session: Session, table: type[Base], rows: Iterable[dict[str, Any]]) -> None:
    # Two transactions that insert the same hashes in one order wait; in two orders they deadlock.
    ordered = sorted(rows, key=lambda row: row["sha256"])
    if not ordered:
        return
    if session.get_bind().dialect.name == "sqlite":
        session.execute(sqlite.insert(table).on_conflict_do_nothing(), ordered)
    else:
        session.execute(postgresql.insert(table).on_conflict_do_nothing(), ordered)
