"""Queries for the rankings and held-out images that manifests list."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.repositories.blobs import ImageRow
from app.db.rows import group
from app.db.tables import Blob, HeldOut, Image, Ranking, RankingImage

_IMAGE = (
    Image.sha256,
    Blob.size,
    Image.media_type,
    Image.width,
    Image.height,
    Image.pixels_sha256,
    Image.perceptual_hash,
)


def rankings(session: Session, classifier_id: str) -> list[str]:
    """Return the ids of a classifier's rankings."""
    query = select(Ranking.id).where(Ranking.classifier_id == classifier_id)
    return list(session.scalars(query.order_by(Ranking.id)))


def ranked(session: Session, ranking_id: str) -> list[ImageRow]:
    """Return a ranking's images in order."""
    query = (
        select(*_IMAGE)
        .join(Blob, Blob.sha256 == Image.sha256)
        .join(RankingImage, RankingImage.sha256 == Image.sha256)
        .where(RankingImage.ranking_id == ranking_id)
        .order_by(RankingImage.rank)
    )
    return [ImageRow(*row) for row in session.execute(query)]


def own_held_out(session: Session, version_id: str) -> dict[int, list[ImageRow]]:
    """Return the images that a version itself (not its ancestors) holds out, by class index."""
    query = (
        select(HeldOut.index, *_IMAGE)
        .select_from(HeldOut)
        .join(Image, Image.sha256 == HeldOut.sha256)
        .join(Blob, Blob.sha256 == Image.sha256)
        .where(HeldOut.version_id == version_id)
        .order_by(HeldOut.index, HeldOut.position)
    )
    return group((row[0], ImageRow(*row[1:])) for row in session.execute(query))
