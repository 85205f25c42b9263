"""Queries for the groups of the images that versions were trained on and hold out."""

from collections.abc import Iterable
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.repositories import learning as learning_rows
from app.db.tables import HeldOut, TrainedImage, VersionClass

K = TypeVar("K")


def held_out(session: Session, version_id: str) -> dict[tuple[int, str], str]:
    """Return the groups of what a version and its ancestors hold out of the version's classes."""
    ancestry = learning_rows.ancestry_of(version_id)
    query = (
        select(HeldOut.index, HeldOut.sha256, HeldOut.group)
        .join(ancestry, ancestry.c.id == HeldOut.version_id)
        .join(VersionClass, VersionClass.index == HeldOut.index)
        .where(VersionClass.version_id == version_id, HeldOut.group.is_not(None))
    )
    return _by_key(((row[0], row[1]), row[2]) for row in session.execute(query))


def trained(session: Session, version_id: str) -> set[str]:
    """Return the groups that a version and its ancestors were trained on images of."""
    ancestry = learning_rows.ancestry_of(version_id)
    query = (
        select(TrainedImage.group)
        .join(ancestry, ancestry.c.id == TrainedImage.version_id)
        .where(TrainedImage.group.is_not(None))
    )
    return {group for group in session.scalars(query.distinct()) if group is not None}


def own_held_out(session: Session, version_id: str) -> dict[tuple[int, str], str]:
    """Return the groups of what a version itself (not its ancestors) holds out."""
    query = select(HeldOut.index, HeldOut.sha256, HeldOut.group).where(
        HeldOut.version_id == version_id, HeldOut.group.is_not(None)
    )
    return _by_key(((row[0], row[1]), row[2]) for row in session.execute(query))


def own_trained(session: Session, version_id: str) -> dict[tuple[str, str], str]:
    """Return the groups of what a version itself (not its ancestors) was trained on."""
    query = select(TrainedImage.label, TrainedImage.sha256, TrainedImage.group).where(
        TrainedImage.version_id == version_id, TrainedImage.group.is_not(None)
    )
    return _by_key(((row[0], row[1]), row[2]) for row in session.execute(query))


def _by_key(rows: Iterable[tuple[K, str | None]]) -> dict[K, str]:
    return {key: group for key, group in rows if group is not None}
