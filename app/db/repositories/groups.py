"""Queries for the groups of the images that versions hold out."""

from collections.abc import Iterable
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.repositories import learning as learning_rows
from app.db.tables import HeldOut, VersionClass

K = TypeVar("K")


def held_out(session: Session, version_id: str) -> dict[tuple[int, str], str]:
    """Return the groups of what a version and its ancestors hold out of the version's classes."""
    chain = learning_rows.ancestry(version_id)
    query = (
        select(HeldOut.index, HeldOut.sha256, HeldOut.group)
        .join(chain, chain.c.id == HeldOut.version_id)
        .join(VersionClass, VersionClass.index == HeldOut.index)
        .where(VersionClass.version_id == version_id, HeldOut.group.is_not(None))
    )
    return _by_key(((row[0], row[1]), row[2]) for row in session.execute(query))


def own_held_out(session: Session, version_id: str) -> dict[tuple[int, str], str]:
    """Return the groups of what a version itself (not its ancestors) holds out."""
    query = select(HeldOut.index, HeldOut.sha256, HeldOut.group).where(
        HeldOut.version_id == version_id, HeldOut.group.is_not(None)
    )
    return _by_key(((row[0], row[1]), row[2]) for row in session.execute(query))


def _by_key(rows: Iterable[tuple[K, str | None]]) -> dict[K, str]:
    return {key: group for key, group in rows if group is not None}
