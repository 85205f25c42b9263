"""Queries about aliases."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.repositories import classifiers as classifier_rows
from app.db.tables import Alias, Version


def get(session: Session, classifier_id: str, name: str) -> Alias | None:
    """Return a classifier's alias."""
    return session.get(Alias, (classifier_id, name), populate_existing=True)


def numbers(session: Session, classifier_ids: Collection[str], name: str) -> dict[str, int]:
    """Return the number of the version that each classifier's alias of that name names."""
    query = (
        select(Alias.classifier_id, Version.number)
        .join(Version, Version.id == Alias.version_id)
        .where(Alias.classifier_id.in_(classifier_ids), Alias.name == name)
    )
    return dict(session.execute(query).all())


def page(
    session: Session, classifier_id: str, *, limit: int, after: str | None
) -> list[tuple[Alias, int]]:
    """Return up to `limit` of a classifier's aliases, with their versions' numbers.

    They come by name, those after the name `after`.
    """
    query = (
        select(Alias, Version.number)
        .join(Version, Version.id == Alias.version_id)
        .where(Alias.classifier_id == classifier_id)
    )
    if after is not None:
        query = query.where(Alias.name > after)
    return [
        (alias, number)
        for alias, number in session.execute(query.order_by(Alias.name).limit(limit))
    ]


def point(
    session: Session, classifier_id: str, name: str, version_id: str, *, now: datetime
) -> Alias:
    """Make the alias name this version. The caller has locked the classifier's row."""
    alias = get(session, classifier_id, name)
    if alias is None:
        alias = Alias(classifier_id=classifier_id, name=name)
        session.add(alias)
    alias.version_id, alias.updated_at = version_id, now
    session.flush()
    classifier_rows.bump_revision(session, classifier_id)
    return alias


def remove(session: Session, alias: Alias) -> None:
    """Delete an alias; its version stays."""
    session.delete(alias)
    session.flush()
    classifier_rows.bump_revision(session, alias.classifier_id)
