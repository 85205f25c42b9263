"""Queries about versions: the tree, their classes, their parts, their exemplars."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, insert, or_, select
from sqlalchemy.orm import Session, aliased

from app.db.repositories import (
    accuracies as accuracy_rows,
    classifiers as classifier_rows,
    jobs as job_rows,
)
from app.db.repositories.accuracies import MeasuredRow
from app.db.rows import group
from app.db.tables import (
    HOLDING_STATES,
    Alias,
    Blob,
    HeldOut,
    Image,
    Job,
    RankingImage,
    Version,
    VersionClass,
    VersionPart,
)


def get(session: Session, version_id: str) -> Version | None:
    """Return the version of that id."""
    return session.get(Version, version_id)


def by_number(session: Session, classifier_id: str, number: int) -> Version | None:
    """Return a classifier's version of that number."""
    query = select(Version).where(Version.classifier_id == classifier_id, Version.number == number)
    return session.scalar(query)


def by_alias(session: Session, classifier_id: str, alias: str) -> Version | None:
    """Return the version that a classifier's alias names."""
    query = (
        select(Version)
        .join(Alias, Alias.version_id == Version.id)
        .where(Alias.classifier_id == classifier_id, Alias.name == alias)
    )
    return session.scalar(query)


def page(
    session: Session,
    classifier_id: str,
    *,
    limit: int,
    before: int | None,
    since: datetime | None = None,
    metadata: Mapping[str, str] = MappingProxyType({}),
) -> list[Version]:
    """Return up to `limit` of a classifier's versions, newest first, older than `before`.

    They were made at a time or later, and have all of the `metadata`.
    """
    query = select(Version).where(Version.classifier_id == classifier_id)
    if since is not None:
        query = query.where(Version.created_at >= since)
    for key, value in metadata.items():
        query = query.where(_is_noted(session, key, value))
    if before is not None:
        query = query.where(Version.number < before)
    return list(session.scalars(query.order_by(Version.number.desc()).limit(limit)))


def _is_noted(session: Session, key: str, value: str) -> ColumnElement[bool]:
    """Return whether a version's metadata has the value; a path to the key could not quote it."""
    if session.get_bind().dialect.name == "sqlite":
        items = func.json_each(Version.annotations, "$.metadata")
    else:
        items = func.json_each_text(Version.annotations["metadata"])
    item = items.table_valued("key", "value")
    return exists(select(item.c.key).where(item.c.key == key, item.c.value == value))


def add(
    session: Session,
    version: Version,
    *,
    parts: Mapping[str, str],
    classes: Sequence[VersionClass],
    held_out: Mapping[int, Sequence[str]],
    measured: Sequence[MeasuredRow] = (),
    groups: Mapping[tuple[int, str], str] = MappingProxyType({}),
) -> None:
    """Insert a version.

    `parts` are hashes by name; `classes` have the version's id already; `held_out` are the images
    of the version's own uploads that were held out, by class index; `measured` are its own rows of
    the matrices; `groups` are those of (index, held-out image).
    """
    version.class_count = len(classes)
    version.size_bytes = _size(session, set(parts.values()))
    session.add(version)
    session.flush()
    session.add_all(classes)
    session.add_all(
        VersionPart(version_id=version.id, name=name, sha256=sha256)
        for name, sha256 in parts.items()
    )
    session.flush()
    accuracy_rows.add(session, version.id, measured)
    add_held_out(session, version.id, held_out, groups)
    classifier_rows.bump_revision(session, version.classifier_id)


def add_held_out(
    session: Session,
    version_id: str,
    held_out: Mapping[int, Sequence[str]],
    groups: Mapping[tuple[int, str], str],
) -> None:
    """Insert what a version itself holds out, by class index, and groups of (index, image)."""
    rows = [
        {
            "version_id": version_id,
            "index": index,
            "position": position,
            "sha256": sha256,
            "group": groups.get((index, sha256)),
        }
        for index, images in held_out.items()
        for position, sha256 in enumerate(images)
    ]
    if rows:
        session.execute(insert(HeldOut), rows)


def _size(session: Session, parts: Collection[str]) -> int:
    found = select(func.sum(Blob.size)).where(Blob.sha256.in_(parts))
    return session.scalar(found) or 0


def newest_descendant(session: Session, version_id: str) -> Version | None:
    """Return the newest version that descends from this one, or is it."""
    descent = select(Version.id).where(Version.id == version_id).cte(recursive=True)
    child = aliased(Version)
    descent = descent.union_all(select(child.id).where(child.parent_id == descent.c.id))
    query = select(Version).join(descent, descent.c.id == Version.id)
    return session.scalar(query.order_by(Version.number.desc()).limit(1))


def parts(session: Session, version_id: str) -> dict[str, str]:
    """Return the hashes of a version's parts by name."""
    query = select(VersionPart.name, VersionPart.sha256).where(VersionPart.version_id == version_id)
    return dict(session.execute(query).all())


def part_sizes(session: Session, version_ids: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return the bytes of each version's parts by hash."""
    query = (
        select(VersionPart.version_id, Blob.sha256, Blob.size)
        .join(Blob, Blob.sha256 == VersionPart.sha256)
        .where(VersionPart.version_id.in_(version_ids))
    )
    rows = session.execute(query)
    sizes = group((version_id, (sha256, size)) for version_id, sha256, size in rows)
    return {version_id: dict(found) for version_id, found in sizes.items()}


def classes(session: Session, version_ids: Sequence[str]) -> dict[str, list[VersionClass]]:
    """Return each version's classes by index, which is the order of their columns."""
    query = select(VersionClass).where(VersionClass.version_id.in_(version_ids))
    rows = session.scalars(query.order_by(VersionClass.index))
    found = group((row.version_id, row) for row in rows)
    return {version_id: found.get(version_id, []) for version_id in version_ids}


def page_of_classes(
    session: Session, version_id: str, *, limit: int, after: int
) -> list[VersionClass]:
    """Return up to `limit` of a version's classes by index, those after an index."""
    query = select(VersionClass).where(
        VersionClass.version_id == version_id, VersionClass.index > after
    )
    return list(session.scalars(query.order_by(VersionClass.index).limit(limit)))


def tasks(session: Session, version_id: str) -> set[int]:
    """Return the tasks of a version's classes."""
    query = select(VersionClass.task).where(VersionClass.version_id == version_id)
    return set(session.scalars(query.distinct()))


def labels(session: Session, version_id: str) -> set[str]:
    """Return the labels of a version's classes."""
    query = select(VersionClass.label).where(VersionClass.version_id == version_id)
    return set(session.scalars(query))


def numbers(session: Session, version_ids: Sequence[str]) -> dict[str, int]:
    """Return the versions' numbers by id."""
    query = select(Version.id, Version.number).where(Version.id.in_(version_ids))
    return dict(session.execute(query).all())


def aliases(session: Session, version_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the names of each version's aliases."""
    query = select(Alias.version_id, Alias.name).where(Alias.version_id.in_(version_ids))
    found = group(session.execute(query.order_by(Alias.name)))
    return {version_id: found.get(version_id, []) for version_id in version_ids}


def annotations(session: Session, classifier_id: str) -> dict[str, dict[str, Any]]:
    """Return what users note about a classifier's versions, by their ids, where they do."""
    query = select(Version.id, Version.annotations).where(Version.classifier_id == classifier_id)
    rows = session.execute(query.order_by(Version.number))
    return {version_id: noted for version_id, noted in rows if noted}


def class_of(session: Session, version_id: str, label: str) -> VersionClass | None:
    """Return a version's class by its label."""
    query = select(VersionClass).where(
        VersionClass.version_id == version_id, VersionClass.label == label
    )
    return session.scalar(query)


def exemplars(
    session: Session,
    version_id: str,
    *,
    label: str | None,
    limit: int,
    after: tuple[int, int],
) -> list[tuple[VersionClass, int, Image]]:
    """Return up to `limit` exemplars with their classes and ranks, those after an index and rank.

    Only those of the label, if one is given.
    """
    index, rank = after
    query = (
        select(VersionClass, RankingImage.rank, Image)
        .join(RankingImage, RankingImage.ranking_id == VersionClass.ranking_id)
        .join(Image, Image.sha256 == RankingImage.sha256)
        .where(
            VersionClass.version_id == version_id,
            # For the primary key: `or` alone would read the classes before it too.
            VersionClass.index >= index,
            or_(VersionClass.index > index, RankingImage.rank > rank),
            RankingImage.rank < VersionClass.kept,
        )
    )
    if label is not None:
        query = query.where(VersionClass.label == label)
    rows = session.execute(query.order_by(VersionClass.index, RankingImage.rank).limit(limit))
    return [(known, rank, image) for known, rank, image in rows]


def children(session: Session, version_id: str) -> list[Version]:
    """Return the versions whose parent is this one, oldest first."""
    query = select(Version).where(Version.parent_id == version_id)
    return list(session.scalars(query.order_by(Version.number)))


def older_than_newest(session: Session, classifier_id: str, count: int) -> list[Version]:
    """Return a classifier's versions except the newest `count`, oldest first."""
    query = select(Version).where(Version.classifier_id == classifier_id)
    return list(session.scalars(query.order_by(Version.number.desc()).offset(count)))[::-1]


def published_since(session: Session, classifier_id: str, moment: datetime) -> bool:
    """Say whether the classifier has a version that was published after a moment."""
    later = exists().where(Version.classifier_id == classifier_id, Version.created_at > moment)
    return bool(session.scalar(select(later)))


def is_base_of_unfinished_job(session: Session, version: Version) -> bool:
    """Say whether a job that has not ended starts from this version."""
    asked_for = and_(
        Job.state == "queued",
        Job.classifier_id == version.classifier_id,
        job_rows.base_asked_for() == str(version.number),
    )
    started = and_(Job.state.in_(HOLDING_STATES), Job.base_version_id == version.id)
    return bool(session.scalar(select(exists().where(or_(asked_for, started)))))


def remove(session: Session, version: Version) -> None:
    """Delete a version with its classes, parts and held-out rows; a sweep deletes the blobs."""
    session.delete(version)
    session.flush()
    classifier_rows.bump_revision(session, version.classifier_id)


def with_labels(session: Session, classifier_id: str, labels: Collection[str]) -> list[Version]:
    """Return the versions of a classifier that know one of the labels, oldest first."""
    knows = exists().where(VersionClass.version_id == Version.id, VersionClass.label.in_(labels))
    query = select(Version).where(Version.classifier_id == classifier_id, knows)
    return list(session.scalars(query.order_by(Version.number)))


def known_labels(session: Session, classifier_id: str, labels: Collection[str]) -> set[str]:
    """Return those of the labels that a version of the classifier knows."""
    query = (
        select(VersionClass.label)
        .join(Version, Version.id == VersionClass.version_id)
        .where(Version.classifier_id == classifier_id, VersionClass.label.in_(labels))
    )
    return set(session.scalars(query.distinct()))


def blobs_of(session: Session, version_ids: Sequence[str]) -> set[str]:
    """Return the hashes of the versions' tensors, exemplars and held-out images."""
    parts = select(VersionPart.sha256).where(VersionPart.version_id.in_(version_ids))
    held_out = select(HeldOut.sha256).where(HeldOut.version_id.in_(version_ids))
    ranked = (
        select(RankingImage.sha256)
        .join(VersionClass, VersionClass.ranking_id == RankingImage.ranking_id)
        .where(VersionClass.version_id.in_(version_ids))
    )
    return {sha256 for query in (parts, held_out, ranked) for sha256 in session.scalars(query)}


def existing(session: Session, version_ids: Sequence[str]) -> set[str]:
    """Return those of the ids that are versions, and not deleted."""
    return set(session.scalars(select(Version.id).where(Version.id.in_(version_ids))))
