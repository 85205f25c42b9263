"""Manifests: what the storage itself says of classifiers and versions.

The database is the truth; documents beside the blobs repeat of it what `accrue reindex` needs to
make it again: a folder a classifier, with a document for the classifier and its aliases, one a
version and one a ranking. They follow the database within seconds, and lag behind at worst.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from typing import Any

from pydantic import BaseModel
from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.repositories import (
    aliases as alias_rows,
    classifiers as classifier_rows,
    manifests as manifest_rows,
    versions as version_rows,
)
from app.db.repositories.manifests import StoredImage
from app.db.tables import Classifier, Version
from app.storage import BlobStore

FOLDER = "classifiers/"
_OWN = "classifier.json"
# What all aliases of a classifier are read by.
_ALL = 10**9


class Part(BaseModel):
    """A tensor file of a version."""

    sha256: str
    size: int


class KnownClass(BaseModel):
    """A class that a version knows; `kept` is how many of its ranking are exemplars."""

    index: int
    label: str
    task: int
    train_images: int
    ranking: str | None
    kept: int


class RankingManifest(BaseModel):
    """The images of a class in herding order."""

    format: int = 1
    id: str
    images: list[StoredImage]


class VersionManifest(BaseModel):
    """A version. `held_out` are the images kept aside at this version, by class index."""

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
    held_out: dict[int, list[StoredImage]]


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


def folder(classifier_id: str) -> str:
    """Return the folder of a classifier's documents."""
    return f"{FOLDER}{classifier_id}/"


def keep(db: Database, store: BlobStore, classifier_id: str, *, compare: bool = False) -> None:
    """Have a classifier's documents say what the database says. Raises OSError.

    Those of versions and rankings change only where a version was deleted, so they are read again
    only then, or to `compare` them whatever happened.
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
        with db.transaction() as session:
            # Locked, and as it was read: what is written is not older than what another process
            # has written.
            now = classifier_rows.get(session, classifier_id, for_update=True)
            if (now.revision if now else None) != revision:
                continue
            for name, data in changes.items():
                store.write_document(name, data)
            for name in gone:
                store.remove_document(name)
            if now is not None:
                classifier_rows.record_kept_revision(session, classifier_id, now.revision)
            return


def _wanted(session: Session, classifier: Classifier) -> dict[str, Callable[[], BaseModel]]:
    """Return how to make each of a classifier's documents, its own the last, by their names."""
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
        id=version.id,
        number=version.number,
        parent=version.parent_id,
        method=version.method,
        spec=version.spec,
        metrics=version.metrics,
        memory=version.memory,
        last_index=version.last_index,
        last_task=version.last_task,
        created_at=version.created_at,
        parts={name: Part(sha256=sha256, size=sizes[sha256]) for name, sha256 in parts.items()},
        classes=[
            KnownClass(
                index=row.index,
                label=row.label,
                task=row.task,
                train_images=row.train_images,
                ranking=row.ranking_id,
                kept=row.kept,
            )
            for row in rows
        ],
        held_out=manifest_rows.own_held_out(session, version.id),
    )


def _classifier(session: Session, classifier: Classifier) -> ClassifierManifest:
    return ClassifierManifest(
        id=classifier.id,
        workspace=classifier.workspace,
        name=classifier.name,
        spec=classifier.spec,
        last_version=classifier.last_version,
        created_at=classifier.created_at,
        aliases={
            alias.name: AliasEntry(version=alias.version_id, updated_at=alias.updated_at)
            for alias, _ in alias_rows.page(session, classifier.id, limit=_ALL, after=None)
        },
    )


def remove_unknown(store: BlobStore, known: Iterable[str], *, dry_run: bool = False) -> int:
    """Remove the documents of classifiers that are no more; return how many."""
    homes = tuple(folder(classifier_id) for classifier_id in known)
    unknown = [name for name in store.documents(FOLDER) if not name.startswith(homes)]
    for name in unknown:
        if not dry_run:
            store.remove_document(name)
    return len(unknown)
