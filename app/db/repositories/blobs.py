"""Rows of blobs and of the images among them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, delete, exists, or_, select, update
from sqlalchemy.orm import Session

from app.db.rows import batched, insert_missing
from app.db.tables import (
    Blob,
    HeldOut,
    Image,
    JobCheckpoint,
    RankingImage,
    UploadImage,
    VersionPart,
)

# Every column that refers to a blob, besides images' own rows, and every one that refers to an
# image. What they refer to is not swept.
_REFERENCES = (VersionPart.sha256, JobCheckpoint.sha256)
_IMAGE_REFERENCES = (UploadImage.sha256, RankingImage.sha256, HeldOut.sha256)


class ImageRow(NamedTuple):
    """What the database knows of an image; size in bytes, width and height in pixels.

    The last two are null where they are not known: see the table.
    """

    sha256: str
    size: int
    media_type: str
    width: int
    height: int
    pixels_sha256: str | None = None
    perceptual_hash: str | None = None

    @property
    def picture(self) -> str:
        """Its pixels' hash; its file's where that is not known."""
        return self.pixels_sha256 or self.sha256


def record(session: Session, sizes: Mapping[str, int], now: datetime) -> None:
    """Record stored blobs (hash to bytes) that are to be referred to, and hold them as `hold` does.

    Check only after this call that the bytes are in the store.
    """
    hold(session, sizes, now)
    for batch in batched(sorted(sizes)):
        marked = and_(Blob.sha256.in_(batch), Blob.unreferenced_since.is_not(None))
        # In one order, for the same reason as there.
        query = select(Blob.sha256).where(marked).order_by(Blob.sha256)
        if found := session.scalars(query.with_for_update(key_share=True)).all():
            session.execute(
                update(Blob).where(Blob.sha256.in_(found)).values(unreferenced_since=None)
            )


def hold(session: Session, sizes: Mapping[str, int], now: datetime) -> None:
    """Give blobs (hash to bytes) a row and lock it for share: nobody deletes them meanwhile.

    Known blobs stay as they are.
    """
    missing = set(sizes)
    while missing:
        # In one order: transactions that insert the same hashes then wait and do not deadlock.
        rows = [{"sha256": key, "size": sizes[key], "created_at": now} for key in sorted(missing)]
        insert_missing(session, Blob, rows)
        # A row that another transaction was deleting is gone once that has committed.
        missing -= _lock_for_share(session, sorted(missing))


def _lock_for_share(session: Session, hashes: Sequence[str]) -> set[str]:
    """Keep others from deleting these rows until the commit; return the rows that exist."""
    locked: set[str] = set()
    for batch in batched(hashes):
        query = select(Blob.sha256).where(Blob.sha256.in_(batch)).order_by(Blob.sha256)
        locked.update(session.scalars(query.with_for_update(read=True, key_share=True)))
    return locked


def record_images(session: Session, images: Iterable[ImageRow]) -> None:
    """Record what recorded blobs hold; known images stay, but what is missing is filled in."""
    unique = {image.sha256: image for image in images}
    rows = [image._asdict() for _, image in sorted(unique.items())]
    for row in rows:
        del row["size"]
    insert_missing(session, Image, rows)
    for batch in batched(sorted(unique)):
        old = select(Image).where(Image.sha256.in_(batch), Image.pixels_sha256.is_(None))
        for image in session.scalars(old):
            image.pixels_sha256 = unique[image.sha256].pixels_sha256
            image.perceptual_hash = unique[image.sha256].perceptual_hash


def release(session: Session, hashes: Iterable[str]) -> list[str]:
    """Delete the image rows that nothing refers to; return the blobs that nothing refers to.

    The blobs' rows stay until their bytes are deleted: see `remove`.
    """
    ordered = sorted(hashes)
    lock_for_update(session, ordered)
    in_use = or_(*(exists().where(column == Image.sha256) for column in _IMAGE_REFERENCES))
    for batch in batched(ordered):
        session.execute(delete(Image).where(Image.sha256.in_(batch), ~in_use))
    return unreferenced(session, ordered)


def lock_for_update(session: Session, hashes: Sequence[str]) -> None:
    """Keep others from referring to these blobs until the commit: they may be deleted.

    The statements that follow see every reference that exists already.
    """
    for batch in batched(hashes):
        query = select(Blob.sha256).where(Blob.sha256.in_(batch)).order_by(Blob.sha256)
        session.execute(query.with_for_update())


def unreferenced(session: Session, hashes: Sequence[str]) -> list[str]:
    """Return the recorded blobs among these that nothing refers to.

    Those are neither an image nor part of a version or checkpoint.
    """
    return [
        sha256
        for batch in batched(hashes)
        for sha256 in session.scalars(
            select(Blob.sha256).where(Blob.sha256.in_(batch), _is_unreferenced())
        )
    ]


def mark_unreferenced(session: Session, hashes: Sequence[str], now: datetime) -> None:
    """Write down that nothing refers to these blobs, if so, since now or an earlier mark."""
    ordered = sorted(hashes)
    lock_for_update(session, ordered)
    for batch in batched(ordered):
        session.execute(
            update(Blob)
            .where(Blob.sha256.in_(batch), Blob.unreferenced_since.is_(None), ~_is_needed())
            .values(unreferenced_since=now)
        )


def unreferenced_since(session: Session, hashes: Sequence[str]) -> dict[str, datetime | None]:
    """Return the marks of the recorded blobs among these."""
    return {
        sha256: since
        for batch in batched(hashes)
        for sha256, since in session.execute(
            select(Blob.sha256, Blob.unreferenced_since).where(Blob.sha256.in_(batch))
        )
    }


def next_needed(session: Session, after: str, *, limit: int) -> list[tuple[str, int]]:
    """Return the next blobs (hash, bytes), in the order of their hashes, that are referred to."""
    query = select(Blob.sha256, Blob.size).where(Blob.sha256 > after, _is_needed())
    rows = session.execute(query.order_by(Blob.sha256).limit(limit))
    return [(sha256, size) for sha256, size in rows]


def next_unreferenced(session: Session, after: str, *, limit: int) -> list[str]:
    """Return the next recorded blobs, in the order of their hashes, that nothing refers to."""
    query = select(Blob.sha256).where(Blob.sha256 > after, _is_unreferenced())
    return list(session.scalars(query.order_by(Blob.sha256).limit(limit)))


def needed(session: Session, hashes: Sequence[str]) -> set[str]:
    """Return the hashes among these that something refers to, recorded or not."""
    return {
        sha256
        for batch in batched(hashes)
        for column in (*_REFERENCES, *_IMAGE_REFERENCES)
        for sha256 in session.scalars(select(column).where(column.in_(batch)))
    }


def remove_unneeded(session: Session) -> None:
    """Delete the rows of all images and blobs that nothing refers to, in a copy of the database."""
    in_use = or_(*(exists().where(column == Image.sha256) for column in _IMAGE_REFERENCES))
    session.execute(delete(Image).where(~in_use))
    session.execute(delete(Blob).where(_is_unreferenced()))


def remove(session: Session, hashes: Sequence[str]) -> None:
    """Delete the rows of blobs whose bytes are deleted."""
    for batch in batched(hashes):
        session.execute(delete(Blob).where(Blob.sha256.in_(batch)))


def _is_unreferenced() -> ColumnElement[bool]:
    columns = (Image.sha256, *_REFERENCES)
    return and_(*(~exists().where(column == Blob.sha256) for column in columns))


def _is_needed() -> ColumnElement[bool]:
    """An image's own row does not count: it stays until a sweep."""
    return or_(
        *(exists().where(column == Blob.sha256) for column in (*_REFERENCES, *_IMAGE_REFERENCES))
    )
