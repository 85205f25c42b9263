"""`accrue reindex`: restores the database from the manifests in the storage.

It restores classifiers, versions with their class maps, exemplars, held-out images and metrics, and
aliases. It cannot restore uploads, jobs and events.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.repositories import (
    accuracies as accuracy_rows,
    blobs as blob_rows,
    classifiers as classifier_rows,
    restoring as restoring_rows,
    trained as trained_rows,
    versions as version_rows,
)
from app.db.repositories.blobs import ImageRow
from app.db.repositories.trained import TrainedRow
from app.db.rows import insert
from app.db.tables import Alias, Classifier, Version, VersionClass
from app.services.classifiers import accuracies, older_metrics
from app.services.upkeep import ownership
from app.services.upkeep.manifests import (
    FOLDER,
    ClassifierManifest,
    RankingManifest,
    VersionManifest,
    folder,
)
from app.storage import BlobStore, each

M = TypeVar("M", bound=BaseModel)
K = TypeVar("K")


class DatabaseNotEmptyError(Exception):
    """The database already has classifiers."""


@dataclass
class Reindexed:
    """What was restored, and the problems found."""

    classifiers: list[str] = field(default_factory=list)
    versions: int = 0
    problems: list[str] = field(default_factory=list)


def reindex(db: Database, store: BlobStore, *, merge: bool = False) -> Reindexed:
    """Insert the rows that the manifests describe, and make the storage this database's.

    With `merge`, classifiers that the database has stay as they are; without it, one such raises
    DatabaseNotEmptyError. Each classifier is restored whole or listed with a problem.
    """
    with db.reading() as session:
        if not merge and not restoring_rows.is_empty(session):
            raise DatabaseNotEmptyError
    result = Reindexed()
    for name in store.documents(FOLDER):
        if name.endswith("/classifier.json"):
            _restore(db, store, name, result)
    ownership.take_over(db, store)
    return result


def _restore(db: Database, store: BlobStore, document: str, result: Reindexed) -> None:
    try:
        manifest = _read(store, document, ClassifierManifest)
        home = folder(manifest.id)
        rankings = [
            _read(store, name, RankingManifest) for name in store.documents(f"{home}rankings/")
        ]
        versions = [
            _read(store, name, VersionManifest) for name in store.documents(f"{home}versions/")
        ]
    except ValidationError as error:
        result.problems.append(f"{document}: {error.error_count()} fields cannot be read")
        return
    with db.reading() as session:
        if classifier_rows.get(session, manifest.id) is not None:
            return
        if classifier_rows.find(session, manifest.workspace, manifest.name) is not None:
            result.problems.append(f"{manifest.name}: another classifier has that name")
            return
    versions.sort(key=lambda version: version.number)
    try:
        with db.transaction() as session:
            _record_blobs(db, session, rankings, versions)
            problems = _insert(session, manifest, rankings, versions)
    except (IntegrityError, DataError) as error:
        result.problems.append(f"{document}: it contradicts documents beside it: {error.orig}")
        return
    result.classifiers.append(manifest.name)
    result.versions += len(versions)
    result.problems += [*problems, *_missing(store, manifest.name, rankings, versions)]


def _insert(
    session: Session,
    manifest: ClassifierManifest,
    rankings: list[RankingManifest],
    versions: list[VersionManifest],
) -> list[str]:
    """Insert a classifier's rows; return what could not be restored."""
    columns = manifest.model_dump(exclude={"format", "aliases", "annotations", "last_version"})
    last_version = max([manifest.last_version, *(version.number for version in versions)])
    insert(session, Classifier(**columns, last_version=last_version))
    images = {ranking.id: [image.sha256 for image in ranking.images] for ranking in rankings}
    restoring_rows.add_rankings(session, manifest.id, images)
    problems: list[str] = []
    present: set[str] = set()
    numbers = {version.number for version in versions}
    for version in versions:
        problems += _add_version(session, manifest, version, present, numbers, set(images))
        present.add(version.id)
    for name, alias in manifest.aliases.items():
        if alias.version not in present:
            problems.append(f"{manifest.name}: the version of alias {name} is missing")
            continue
        row = Alias(classifier_id=manifest.id, name=name, version_id=alias.version)
        row.updated_at = alias.updated_at
        insert(session, row)
    return problems


def _read(store: BlobStore, name: str, kind: type[M]) -> M:
    return kind.model_validate_json(store.read_document(name) or b"")


def _record_blobs(
    db: Database,
    session: Session,
    rankings: list[RankingManifest],
    versions: list[VersionManifest],
) -> None:
    images = _images(rankings, versions)
    sizes = {sha256: image.size for sha256, image in images.items()}
    sizes |= {part.sha256: part.size for version in versions for part in version.parts.values()}
    blob_rows.record(session, sizes, db.now(session))
    blob_rows.record_images(session, images.values())


def _images(
    rankings: list[RankingManifest], versions: list[VersionManifest]
) -> dict[str, ImageRow]:
    held_out = (images for version in versions for images in version.held_out.values())
    ranked = (ranking.images for ranking in rankings)
    return {image.sha256: image for images in (*ranked, *held_out) for image in images}


def _add_version(
    session: Session,
    owner: ClassifierManifest,
    manifest: VersionManifest,
    present: set[str],
    numbers: set[int],
    rankings: set[str],
) -> list[str]:
    problems = []
    parent, measured = manifest.parent, manifest.measured
    if parent is not None and parent not in present:
        problems.append(f"{owner.name}: the parent of version {manifest.number} is missing")
        parent = None
    older = measured is None
    if measured is None:
        before = accuracy_rows.rows(session, parent) if parent else []
        tasks = [known.task for known in manifest.classes]
        measured = older_metrics.own_rows(manifest.metrics, manifest.number, tasks, before, numbers)
    lost = {known.ranking for known in manifest.classes if known.ranking} - rankings
    if lost:
        problems.append(f"{owner.name}: exemplars of version {manifest.number} are missing")
    version_rows.add(
        session,
        Version(
            **manifest.model_dump(
                exclude={
                    *("format", "parent", "parts", "classes", "metrics", "measured"),
                    *("held_out", "held_out_groups", "trained", "trained_groups"),
                }
            ),
            metrics=accuracies.without_rows(manifest.metrics),
            annotations=owner.annotations.get(manifest.id, {}),
            classifier_id=owner.id,
            parent_id=parent,
        ),
        parts={name: part.sha256 for name, part in manifest.parts.items()},
        classes=[
            VersionClass(
                **known.model_dump(exclude={"ranking", "kept"})
                | (accuracies.class_columns(manifest.metrics, known.label) if older else {}),
                version_id=manifest.id,
                ranking_id=None if known.ranking in lost else known.ranking,
                kept=0 if known.ranking in lost else known.kept,
            )
            for known in manifest.classes
        ],
        held_out={
            index: [image.sha256 for image in images] for index, images in manifest.held_out.items()
        },
        measured=measured,
        groups=_flat(manifest.held_out_groups),
    )
    trained_rows.add_trained(session, manifest.id, _trained(manifest))
    return problems


def _trained(manifest: VersionManifest) -> dict[str, list[TrainedRow]]:
    """Return what a version was trained on, by label, with the class of each image.

    Documents of older releases do not say which class it was.
    """
    indices = {known.label: known.index for known in manifest.classes}
    return {
        label: [
            row._replace(class_index=indices.get(label)) if row.class_index is None else row
            for row in rows
        ]
        for label, rows in manifest.trained.items()
    }


def _flat(nested: Mapping[K, Mapping[str, str]]) -> dict[tuple[K, str], str]:
    return {(key, sha256): name for key, own in nested.items() for sha256, name in own.items()}


def _missing(
    store: BlobStore, name: str, rankings: list[RankingManifest], versions: list[VersionManifest]
) -> list[str]:
    """Return problems: versions whose tensors, and how many images, the storage does not have."""
    problems = [
        f"{name}: tensors of version {version.number} are not in the storage"
        for version in versions
        if not all(store.exists(part.sha256) for part in version.parts.values())
    ]
    lost = each(store, store.exists, _images(rankings, versions)).count(False)
    if lost:
        problems.append(f"{name}: {lost} images are not in the storage")
    return problems
