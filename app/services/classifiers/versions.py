"""Versions: what each knows, how good it is, what it keeps."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import structlog
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.repositories import (
    uploads as upload_rows,
    versions as version_rows,
    workspaces as workspace_rows,
)
from app.db.tables import Classifier, Image, Version
from app.errors import ServiceError
from app.services.classifiers import classifiers, lineage
from app.services.classifiers.references import is_number
from app.services.labels import clean_label
from app.services.stored import StorageUnavailableError
from app.storage import BlobCorruptError, BlobMissingError, BlobStore

log = structlog.get_logger(__name__)


class VersionNotFoundError(ServiceError, status=404, code="version-not-found"):
    """The classifier has no such version or alias."""


class VersionInUseError(ServiceError, status=409, code="version-in-use"):
    """An alias or a job that has not ended needs the version."""


class ClassNotFoundError(ServiceError, status=404, code="class-not-found"):
    """The version does not know that class."""


class ImageNotFoundError(ServiceError, status=404, code="image-not-found"):
    """No image has that hash."""


class ImageUnreadableError(ServiceError, status=503, code="image-unreadable"):
    """The stored bytes of the image are gone or damaged."""


class ClassView(BaseModel):
    """A class that a version knows."""

    label: str
    index: int
    task: int
    train_images: int
    exemplars: int


class MetricsView(BaseModel):
    """How good a version is on held-out images; null where there is nothing to measure on."""

    accuracy: float | None = Field(None, description="Over all classes so far.")
    average_incremental_accuracy: float | None = Field(
        None, description="Mean of `accuracy` over the chain of parents."
    )
    forgetting: float | None = Field(
        None, description="Mean over older tasks of the best earlier accuracy less today's."
    )
    backward_transfer: float | None = Field(
        None, description="Mean over older tasks of today's accuracy less the first one."
    )
    matrix: list[list[float | None]] = Field(
        default_factory=list, description="[i][j]: accuracy on task j after task i."
    )
    task_aware_accuracy: float | None = Field(None, description="With the task given.")
    task_aware_matrix: list[list[float | None]] = Field(default_factory=list)
    router_accuracy: float | None = Field(None, description="How often the right task is picked.")
    per_class: dict[str, float | None] = Field(default_factory=dict)
    report: dict[str, Any] = Field(
        default_factory=dict, description="Figures of the method's own, such as free capacity."
    )


class MemoryView(BaseModel):
    """The images a version keeps."""

    exemplars: int = 0
    bytes: int = 0
    held_out: int = 0


class VersionView(BaseModel):
    """A version as clients see it."""

    number: int
    parent: int | None
    job: str | None
    created_at: datetime
    method: str
    classes: list[ClassView]
    metrics: MetricsView
    memory: MemoryView
    size_bytes: int = Field(description="Bytes of its tensors.")
    new_bytes: int = Field(description="Bytes of those its parent does not have.")
    aliases: list[str]


class ExemplarView(BaseModel):
    """An image of the exemplar memory; `GET /v1/images/{sha256}` gives its bytes."""

    rank: int = Field(description="0 was chosen first and is given up last.")
    sha256: str
    media_type: str
    width: int
    height: int


def require(session: Session, classifier: Classifier, reference: str) -> Version:
    """Return a classifier's version by number or alias. Raises VersionNotFoundError."""
    found = (
        version_rows.by_number(session, classifier.id, int(reference))
        if is_number(reference)
        else version_rows.by_alias(session, classifier.id, reference)
    )
    if found is None:
        raise VersionNotFoundError("This classifier has no version of that number or alias.")
    return found


def get(db: Database, workspace: str, name: str, reference: str) -> VersionView:
    """Return one version by number or alias.

    Raises ClassifierNotFoundError and VersionNotFoundError.
    """
    with db.reading() as session:
        classifier = classifiers.require(session, workspace, name)
        return _views(session, [require(session, classifier, reference)])[0]


def page(
    db: Database, workspace: str, name: str, *, limit: int, before: int | None
) -> list[VersionView]:
    """Return up to `limit` versions, newest first, older than a number.

    Raises ClassifierNotFoundError.
    """
    with db.reading() as session:
        classifier = classifiers.require(session, workspace, name)
        found = version_rows.page(session, classifier.id, limit=limit, before=before)
        return _views(session, found)


def exemplars(
    db: Database, workspace: str, name: str, reference: str, label: str, *, limit: int, after: int
) -> list[ExemplarView]:
    """Return a class's exemplars in herding order, those after a rank.

    Raises ClassifierNotFoundError, VersionNotFoundError and ClassNotFoundError.
    """
    with db.reading() as session:
        version = require(session, classifiers.require(session, workspace, name), reference)
        try:
            known = version_rows.class_of(session, version.id, clean_label(label))
        except ValueError:  # no class has such a name
            known = None
        if known is None:
            raise ClassNotFoundError("This version does not know that class.")
        found = version_rows.exemplars(session, known, limit=limit, after=after)
        return [
            ExemplarView(
                rank=rank,
                sha256=image.sha256,
                media_type=image.media_type,
                width=image.width,
                height=image.height,
            )
            for rank, image in found
        ]


def delete(db: Database, workspace: str, name: str, reference: str) -> None:
    """Delete a version; those that were learnt from it stay, and what they need of it.

    Raises ClassifierNotFoundError, VersionNotFoundError, and VersionInUseError where an alias
    names it or a job that has not ended starts from it.
    """
    with db.transaction() as session:
        upload_rows.keep_used(session, classifiers.require(session, workspace, name).id)
        classifier = classifiers.require(session, workspace, name, lock=True)
        version = require(session, classifier, reference)
        if reason := lineage.in_use(session, classifier, version):
            raise VersionInUseError(reason)
        lineage.remove(session, version)


def image(db: Database, store: BlobStore, workspace: str, sha256: str) -> tuple[Image, bytes]:
    """Return an image that the workspace has: what it is, and its bytes.

    Raises ImageNotFoundError, ImageUnreadableError and StorageUnavailableError.
    """
    found = _image(db, workspace, sha256)
    with _readable(sha256):
        return found, store.get(sha256)


def image_link(
    db: Database, store: BlobStore, workspace: str, sha256: str, seconds: int
) -> str | None:
    """Return a URL at which whoever has it finds an image of the workspace for so long.

    None where the storage has no such URLs.

    Raises ImageNotFoundError, ImageUnreadableError and StorageUnavailableError.
    """
    found = _image(db, workspace, sha256)
    with _readable(sha256):
        link = store.link(sha256, found.media_type, seconds)
        if link is not None and not store.exists(sha256):
            raise BlobMissingError(sha256)
        return link


def _image(db: Database, workspace: str, sha256: str) -> Image:
    with db.reading() as session:
        found = workspace_rows.image(session, workspace, sha256)
    if found is None:
        raise ImageNotFoundError("No image has that hash.")
    return found


@contextmanager
def _readable(sha256: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        log.error("image_not_read", image=sha256, error=str(error))
        raise StorageUnavailableError from error
    except (BlobMissingError, BlobCorruptError) as error:
        log.error("image_unreadable", image=sha256, error=repr(error))
        raise ImageUnreadableError(
            "The stored image is gone or damaged: send it again to have it back."
        ) from error


def _views(session: Session, rows: Sequence[Version]) -> list[VersionView]:
    ids = [row.id for row in rows]
    parent_ids = [row.parent_id for row in rows if row.parent_id is not None]
    classes = version_rows.classes(session, ids)
    names = version_rows.aliases(session, ids)
    parents = version_rows.numbers(session, parent_ids)
    sizes = version_rows.part_sizes(session, [*ids, *parent_ids])
    return [
        VersionView(
            number=row.number,
            parent=parents.get(row.parent_id or ""),
            job=row.job_id,
            created_at=row.created_at,
            method=row.method,
            classes=[
                ClassView(
                    label=known.label,
                    index=known.index,
                    task=known.task,
                    train_images=known.train_images,
                    exemplars=known.kept,
                )
                for known in classes[row.id]
            ],
            metrics=MetricsView.model_validate(row.metrics),
            memory=MemoryView.model_validate(row.memory),
            aliases=names[row.id],
            **_bytes(sizes.get(row.id, {}), sizes.get(row.parent_id or "", {})),
        )
        for row in rows
    ]


def _bytes(own: dict[str, int], inherited: dict[str, int]) -> dict[str, Any]:
    return {
        "size_bytes": sum(own.values()),
        "new_bytes": sum(size for sha256, size in own.items() if sha256 not in inherited),
    }
