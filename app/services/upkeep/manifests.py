"""Manifests: documents in the storage that describe classifiers and versions.

They repeat what `accrue reindex` needs to restore the database: a folder for each classifier, with
one document for the classifier and its aliases, one for each version and one for each ranking. The
database is authoritative; manifests follow it within seconds.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel
from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.repositories import (
    accuracies as accuracy_rows,
    aliases as alias_rows,
    classifiers as classifier_rows,
    groups as group_rows,
    manifests as manifest_rows,
    trained as trained_rows,
    versions as version_rows,
)
from app.db.repositories.accuracies import MeasuredRow
from app.db.repositories.blobs import ImageRow
from app.db.repositories.trained import TrainedRow
from app.db.rows import columns_of
from app.db.tables import Classifier, Version
from app.storage import BlobStore

FOLDER = "classifiers/"
_OWN = "classifier.json"
# A page size that covers all versions or aliases of a classifier.
_ALL = 10**9

K = TypeVar("K", int, str)


class Part(BaseModel):
    """A tensor file of a version."""

    sha256: str
    size: int


class KnownClass(BaseModel):
    """A class that a version knows; the first `kept` images of its ranking are exemplars."""

    index: int
    label: str
    task: int
    train_images: int
    ranking: str | None
    kept: int
    # Missing in documents of releases that had them in the version's metrics.
    measured_on: int | None = None
    accuracy: float | None = None
    standard_error: float | None = None


class RankingManifest(BaseModel):
    """The images of a class in herding order."""

    format: int = 1
    id: str
    images: list[ImageRow]


class VersionManifest(BaseModel):
    """A version.

    `held_out` are the images that it holds out itself, by class index; `trained` are those that it
    was trained on itself, by label, or that it takes the label from; `measured` are its own rows of
    the matrices.
    """

    format: int = 1
    id: str
    number: int
    parent: str | None
    method: str
    spec: dict[str, Any]
    metrics: dict[str, Any]
    memory: dict[str, Any]
    last_index: int
    last_task: int
    created_at: datetime
    parts: dict[str, Part]
    classes: list[KnownClass]
    held_out: dict[int, list[ImageRow]]
    # Null in documents of releases that had whole matrices in the metrics.
    measured: list[MeasuredRow] | None = None
    # Missing in documents of releases that did not remember it.
    trained: dict[str, list[TrainedRow]] = {}
    # The groups of held-out images that have one, by hash. Missing likewise.
    held_out_groups: dict[int, dict[str, str]] = {}


class AliasEntry(BaseModel):
    """Where an alias points: the id of a version."""

    version: str
    updated_at: datetime


class ClassifierManifest(BaseModel):
    """A classifier and its aliases."""

    format: int = 1
    id: str
    workspace: str
    name: str
    spec: dict[str, Any]
    last_version: int
    created_at: datetime
    aliases: dict[str, AliasEntry]
    # What users note about versions, by their ids: their own documents do not change with it.
    annotations: dict[str, dict[str, Any]] = {}


def folder(classifier_id: str) -> str:
    """Return the folder of a classifier's documents."""
    return f"{FOLDER}{classifier_id}/"


def write(db: Database, store: BlobStore, classifier_id: str, *, compare: bool = False) -> None:
    """Update a classifier's documents to match the database. Raises OSError.

    Documents of versions and rankings change only when a version is deleted, so existing ones are
    compared with the database only then, or always with `compare`.
    """
    while True:
        with db.reading() as session:
            classifier = classifier_rows.get(session, classifier_id)
            revision = classifier.revision if classifier else None
            present = set(store.documents(folder(classifier_id)))
            wanted = _wanted(session, classifier) if classifier else {}
            gone = present - set(wanted)
            changes = {
                name: data
                for name, render in wanted.items()
                if (gone or compare or name not in present or name.endswith(_OWN))
                and (data := _json(render())) != store.read_document(name)
            }
        if classifier and classifier.kept_revision == revision and not changes and not gone:
            return  # as for most of a sweep: no lock and no commit for nothing
        with db.transaction() as session:
            # Optimistic locking: write only if the classifier did not change since it was read.
            # So an older state never overwrites what another process has written.
            now = classifier_rows.get(session, classifier_id, for_update=True)
            if (now.revision if now else None) != revision:
                continue
            for name, data in changes.items():
                store.write_document(name, data)
            for name in gone:
                store.remove_document(name)
            if now is not None:
                classifier_rows.mark_processed(session, classifier_id, now.revision)
            return


def _wanted(session: Session, classifier: Classifier) -> dict[str, Callable[[], BaseModel]]:
    """Return a function for each of a classifier's documents, by name; its own is the last."""
    home = folder(classifier.id)
    wanted: dict[str, Callable[[], BaseModel]] = {}
    for ranking_id in manifest_rows.rankings(session, classifier.id):
        wanted[f"{home}rankings/{ranking_id}.json"] = partial(_ranking, session, ranking_id)
    for version in version_rows.page(session, classifier.id, limit=_ALL, before=None):
        wanted[f"{home}versions/{version.number}.json"] = partial(_version, session, version)
    wanted[home + _OWN] = partial(_classifier, session, classifier)
    return wanted


def _json(model: BaseModel) -> bytes:
    return model.model_dump_json(indent=1).encode()


def _ranking(session: Session, ranking_id: str) -> RankingManifest:
    return RankingManifest(id=ranking_id, images=manifest_rows.ranked(session, ranking_id))


def _version(session: Session, version: Version) -> VersionManifest:
    rows = version_rows.classes(session, [version.id])[version.id]
    sizes = version_rows.part_sizes(session, [version.id]).get(version.id, {})
    parts = version_rows.parts(session, version.id)
    return VersionManifest(
        **columns_of(version),
        parent=version.parent_id,
        parts={name: Part(sha256=sha256, size=sizes[sha256]) for name, sha256 in parts.items()},
        classes=[KnownClass(**columns_of(row), ranking=row.ranking_id) for row in rows],
        held_out=manifest_rows.own_held_out(session, version.id),
        trained=trained_rows.own_trained(session, version.id),
        measured=accuracy_rows.own_rows(session, version.id),
        held_out_groups=_nested(group_rows.own_held_out(session, version.id)),
    )


def _nested(groups: Mapping[tuple[K, str], str]) -> dict[K, dict[str, str]]:
    nested: dict[K, dict[str, str]] = {}
    for (key, sha256), name in sorted(groups.items()):
        nested.setdefault(key, {})[sha256] = name
    return nested


def _classifier(session: Session, classifier: Classifier) -> ClassifierManifest:
    return ClassifierManifest(
        **columns_of(classifier),
        aliases={
            alias.name: AliasEntry(version=alias.version_id, updated_at=alias.updated_at)
            for alias, _ in alias_rows.page(session, classifier.id, limit=_ALL, after=None)
        },
        annotations=version_rows.annotations(session, classifier.id),
    )


def remove_unknown(store: BlobStore, known: Iterable[str], *, dry_run: bool = False) -> int:
    """Remove the documents of deleted classifiers; return how many."""
    ids = set(known)
    documents = store.documents(FOLDER)
    unknown = [name for name in documents if name.removeprefix(FOLDER).split("/")[0] not in ids]
    for name in unknown:
        if not dry_run:
            store.remove_document(name)
    return len(unknown)
