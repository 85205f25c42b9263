"""Rows of blobs and of the images among them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, exists, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.db.tables import (
    Base,
    Blob,
    Checkpoint,
    HeldOut,
    Image,
    RankingImage,
    UploadImage,
    VersionPart,
)

# Hashes a statement, below the number of parameters that every database takes.
_CHUNK = 1000


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


def release(session: Session, hashes: Iterable[str]) -> list[str]:
    """Delete the image rows that nothing refers to; return the blobs that nothing refers to.

    Their own rows stay until the bytes are gone: see `forget`.
    """
    ordered = sorted(hashes)
    for chunk in _chunks(ordered):
        unused = and_(Image.sha256.in_(chunk), ~_image_in_use(Image.sha256))
        session.execute(delete(Image).where(unused).execution_options(synchronize_session=False))
    return unreferenced(session, ordered)


def lock(session: Session, hashes: Sequence[str]) -> None:
    """Have whoever refers to one of these blobs wait for this transaction, which may delete them.

    What refers to them already is seen by the statements that follow.
    """
    for chunk in _chunks(hashes):
        query = select(Blob.sha256).where(Blob.sha256.in_(chunk)).order_by(Blob.sha256)
        session.execute(query.with_for_update())


def unreferenced(session: Session, hashes: Sequence[str]) -> list[str]:
    """Return those of the recorded blobs that no image, version's part or checkpoint is."""
    return [
        sha256
        for chunk in _chunks(hashes)
        for sha256 in session.scalars(
            select(Blob.sha256).where(
                Blob.sha256.in_(chunk),
                ~exists().where(Image.sha256 == Blob.sha256),
                ~exists().where(VersionPart.sha256 == Blob.sha256),
                ~exists().where(Checkpoint.sha256 == Blob.sha256),
            )
        )
    ]


def forget(session: Session, hashes: Sequence[str]) -> None:
    """Delete the rows of blobs whose bytes are gone."""
    for chunk in _chunks(hashes):
        gone = delete(Blob).where(Blob.sha256.in_(chunk))
        session.execute(gone.execution_options(synchronize_session=False))


def _image_in_use(sha256: Any) -> ColumnElement[bool]:
    tables = (UploadImage, RankingImage, HeldOut)
    return or_(*(exists().where(table.sha256 == sha256) for table in tables))


def _chunks(hashes: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(hashes), _CHUNK):
        yield hashes[start : start + _CHUNK]


def _insert_new(session: Session, table: type[Base], rows: Iterable[dict[str, Any]]) -> None:
    # Two transactions that insert the same hashes in one order wait; in two orders they deadlock.
    ordered = sorted(rows, key=lambda row: row["sha256"])
    if not ordered:
        return
    if session.get_bind().dialect.name == "sqlite":
        session.execute(sqlite.insert(table).on_conflict_do_nothing(), ordered)
    else:
        session.execute(postgresql.insert(table).on_conflict_do_nothing(), ordered)
