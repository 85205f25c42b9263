"""Queries about classifiers."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.orm import Session

from app.db.repositories import changes as change_rows, deliveries as delivery_rows
from app.db.tables import FINAL_STATES, Alias, Classifier, Job, Ranking, Version

# Parameters of one statement: SQLite takes 32,766.
_IDS_AT_ONCE = 1000


def find(
    session: Session, workspace: str, name: str, *, for_update: bool = False
) -> Classifier | None:
    """Return the classifier of that name; `for_update` locks its row until the commit."""
    query = select(Classifier).where(Classifier.workspace == workspace, Classifier.name == name)
    # The row may have changed while the lock was waited for.
    query = query.execution_options(populate_existing=True)
    return session.scalar(query.with_for_update() if for_update else query)


def page(
    session: Session, workspace: str, *, prefix: str = "", limit: int, after: str | None
) -> list[Classifier]:
    """Return up to `limit` classifiers of the workspace by name, those after the name `after`.

    Their names begin with the prefix.
    """
    query = select(Classifier).where(Classifier.workspace == workspace)
    if prefix:
        # Not LIKE: `_` is any character there, and on SQLite a letter is its capital too.
        query = query.where(func.substr(Classifier.name, 1, len(prefix)) == prefix)
    if after is not None:
        query = query.where(Classifier.name > after)
    return list(session.scalars(query.order_by(Classifier.name).limit(limit)))


def has_unfinished_job(session: Session, classifier_id: str) -> bool:
    """Say whether the classifier has a job that has not ended."""
    unfinished = exists().where(Job.classifier_id == classifier_id, Job.state.not_in(FINAL_STATES))
    return bool(session.scalar(select(unfinished)))


def has_version(session: Session, classifier_id: str) -> bool:
    """Say whether the classifier has a version."""
    return bool(session.scalar(select(exists().where(Version.classifier_id == classifier_id))))


def remove(session: Session, classifier: Classifier) -> None:
    """Delete a classifier with its versions, aliases, rankings and jobs; uploads and blobs stay."""
    delivery_rows.delete_settled(session, classifier.id)
    # In this order, because aliases refer to versions, and versions to rankings.
    for table in (Alias, Version, Ranking, Job):
        session.execute(delete(table).where(table.classifier_id == classifier.id))
    session.delete(classifier)
    session.flush()
    change_rows.record(session, classifier.id)


def bump_revision(session: Session, classifier_id: str) -> None:
    """Have housekeeping and API processes look at the classifier, its versions and its aliases."""
    session.execute(
        update(Classifier)
        .where(Classifier.id == classifier_id)
        .values(revision=Classifier.revision + 1)
    )
    change_rows.record(session, classifier_id)


def changed(session: Session, *, limit: int, but: Collection[str] = ()) -> list[str]:
    """Return up to `limit` classifiers that have changed since housekeeping checked them.

    Those of the ids `but` are left out.
    """
    query = select(Classifier.id).where(
        Classifier.kept_revision != Classifier.revision, Classifier.id.not_in(but)
    )
    return list(session.scalars(query.order_by(Classifier.id).limit(limit)))


def mark_processed(session: Session, classifier_id: str, revision: int) -> None:
    """Record that housekeeping has dealt with all changes up to a revision."""
    session.execute(
        update(Classifier).where(Classifier.id == classifier_id).values(kept_revision=revision)
    )


def lock_for_share(session: Session, classifier_id: str) -> bool:
    """Prevent that a classifier is deleted before the commit; False where it is gone."""
    query = select(Classifier.id).where(Classifier.id == classifier_id)
    return session.scalar(query.with_for_update(read=True, key_share=True)) is not None


def all_ids(session: Session) -> Sequence[str]:
    """Return the ids of all classifiers of all workspaces."""
    return session.scalars(select(Classifier.id).order_by(Classifier.id)).all()


def get(session: Session, classifier_id: str, *, for_update: bool = False) -> Classifier | None:
    """Return the classifier of that id; `for_update` locks its row until the commit."""
    query = select(Classifier).where(Classifier.id == classifier_id)
    query = query.execution_options(populate_existing=True)
    return session.scalar(query.with_for_update() if for_update else query)


class Served(NamedTuple):
    """What API processes serve of a classifier: the ids of its versions by alias."""

    workspace: str
    name: str
    pinned: bool
    aliases: dict[str, str]


def served(session: Session, classifier_ids: Collection[str]) -> dict[str, Served]:
    """Return what is served of the classifiers of these ids, those that are left, by id."""
    found: dict[str, Served] = {}
    ids = sorted(classifier_ids)
    for first in range(0, len(ids), _IDS_AT_ONCE):
        query = (
            select(
                Classifier.id,
                Classifier.workspace,
                Classifier.name,
                Classifier.spec["pinned"].as_boolean(),
                Alias.name,
                Alias.version_id,
            )
            .outerjoin(Alias, Alias.classifier_id == Classifier.id)
            .where(Classifier.id.in_(ids[first : first + _IDS_AT_ONCE]))
        )
        for classifier_id, workspace, name, pinned, alias, version_id in session.execute(query):
            one = found.setdefault(classifier_id, Served(workspace, name, bool(pinned), {}))
            if alias is not None:
                one.aliases[alias] = version_id
    return found


def pinned_ids(session: Session) -> set[str]:
    """Return the ids of the classifiers whose live version stays in memory."""
    return set(session.scalars(select(Classifier.id).where(Classifier.spec["pinned"].as_boolean())))
