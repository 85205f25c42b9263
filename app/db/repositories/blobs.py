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
    HeldOut,
    Image,
    JobCheckpoint,
    RankingImage,
    UploadImage,
    VersionPart,
)

# Every column that keeps a blob, besides images' own rows, and every one that keeps an image.
_REFERENCES = (VersionPart.sha256, JobCheckpoint.sha256)
_IMAGE_REFERENCES = (UploadImage.sha256, RankingImage.sha256, HeldOut.sha256)

# Hashes a statement, below the number of parameters that every database takes.
_CHUNK = 1000


def record(session: Session, sizes: Mapping[str, int], now: datetime) -> None:
    """Record stored blobs, hash to bytes, and keep them from being deleted until the commit.

    Known ones are left as they are. Whether the bytes are there is to be asked after this.
    """
    missing = set(sizes)
    while missing:
        rows = [{"sha256": key, "size": sizes[key], "created_at": now} for key in missing]
        _insert_new(session, Blob, rows)
        # A row that another transaction was deleting is gone once that has committed.
        missing -= _lock_for_share(session, sorted(missing))


def _lock_for_share(session: Session, hashes: Sequence[str]) -> set[str]:
    """Have whoever would delete these rows wait for this transaction; return those there are."""
    kept: set[str] = set()
    for chunk in _chunks(hashes):
        query = select(Blob.sha256).where(Blob.sha256.in_(chunk)).order_by(Blob.sha256)
        kept.update(session.scalars(query.with_for_update(read=True, key_share=True)))
    return kept


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


def release(session: Session, hashes: Iterable[str]) -> list[str]:
    """Delete the image rows that nothing refers to; return the blobs that nothing refers to.

    Their own rows stay until the bytes are gone: see `remove`.
    """
    ordered = sorted(hashes)
    lock_for_update(session, ordered)
    for chunk in _chunks(ordered):
        unused = and_(Image.sha256.in_(chunk), ~_image_in_use(Image.sha256))
        session.execute(delete(Image).where(unused))
    return unreferenced(session, ordered)


def lock_for_update(session: Session, hashes: Sequence[str]) -> None:
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
            select(Blob.sha256).where(Blob.sha256.in_(chunk), _is_unreferenced())
        )
    ]


def next_unreferenced(session: Session, after: str, *, limit: int) -> list[str]:
    """Return the next of all recorded blobs, by their hashes, that nothing refers to."""
    query = select(Blob.sha256).where(Blob.sha256 > after, _is_unreferenced())
    return list(session.scalars(query.order_by(Blob.sha256).limit(limit)))


def needed(session: Session, hashes: Sequence[str]) -> set[str]:
    """Return those of the hashes that something refers to, recorded or not."""
    return {
        sha256
        for chunk in _chunks(hashes)
        for column in (*_REFERENCES, *_IMAGE_REFERENCES)
        for sha256 in session.scalars(select(column).where(column.in_(chunk)))
    }


def remove(session: Session, hashes: Sequence[str]) -> None:
    """Delete the rows of blobs whose bytes are gone."""
    for chunk in _chunks(hashes):
        gone = delete(Blob).where(Blob.sha256.in_(chunk))
        session.execute(gone)


def _is_unreferenced() -> ColumnElement[bool]:
    columns = (Image.sha256, *_REFERENCES)
    return and_(*(~exists().where(column == Blob.sha256) for column in columns))


def _image_in_use(sha256: Any) -> ColumnElement[bool]:
    return or_(*(exists().where(column == sha256) for column in _IMAGE_REFERENCES))


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
