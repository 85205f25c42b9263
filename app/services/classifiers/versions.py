"""Versions: how they are shown and deleted, with their exemplars and stored images."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.repositories import (
    accuracies as accuracy_rows,
    classifiers as classifier_rows,
    uploads as upload_rows,
    versions as version_rows,
    workspaces as workspace_rows,
)
from app.db.rows import columns_of
from app.db.tables import Classifier, Image, Version
from app.errors import UNTIL_A_JOB_ENDS, ServiceError
from app.services import stored
from app.services.classifiers import accuracies, classifiers, lineage, version_views
from app.services.classifiers.annotations import AnnotationsPatch
from app.services.classifiers.references import is_number
from app.services.classifiers.version_views import (
    ExemplarView,
    MatrixRowView,
    VersionSummary,
    VersionView,
)
from app.services.labels import clean_label
from app.storage import BlobMissingError, BlobStore


class VersionNotFoundError(ServiceError, status=404, code="version-not-found"):
    """The classifier has no such version or alias."""


class VersionInUseError(ServiceError, status=409, code="version-in-use"):
    """An alias names the version, or a job that has not ended starts from it."""


class ClassNotFoundError(ServiceError, status=404, code="class-not-found"):
    """The version does not know that class."""


class ImageNotFoundError(ServiceError, status=404, code="image-not-found"):
    """This workspace has no image of that hash."""


class ImageUnreadableError(ServiceError, status=503, code="image-unreadable"):
    """The stored bytes of the image are gone or damaged."""

    def __init__(self) -> None:
        super().__init__("The stored image is gone or damaged. Send it again to restore it.")


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
        return version_views.of(session, require(session, classifier, reference))


def page(
    db: Database,
    workspace: str,
    name: str,
    *,
    since: datetime | None,
    metadata: Mapping[str, str],
    limit: int,
    before: int | None,
) -> list[VersionSummary]:
    """Return up to `limit` versions, newest first, older than the number `before`.

    They were made at a time or later, and have all of the `metadata`. Raises
    ClassifierNotFoundError.
    """
    with db.reading() as session:
        classifier = classifiers.require(session, workspace, name)
        found = version_rows.page(
            session, classifier.id, since=since, metadata=metadata, limit=limit, before=before
        )
        return version_views.summaries(session, found)


def matrix(
    db: Database, workspace: str, name: str, reference: str, *, limit: int, after: int
) -> list[MatrixRowView]:
    """Return up to `limit` rows of a version's matrices, those of versions after a number.

    Raises ClassifierNotFoundError and VersionNotFoundError.
    """
    with db.reading() as session:
        version = require(session, classifiers.require(session, workspace, name), reference)
        tasks = version_rows.tasks(session, version.id)
        found = accuracies.shown_rows(accuracy_rows.rows(session, version.id), tasks)
        later = [row for row in found if row.number > after][:limit]
        return [MatrixRowView(**row._asdict()) for row in later]


def exemplars(
    db: Database,
    workspace: str,
    name: str,
    reference: str,
    *,
    label: str | None,
    limit: int,
    after: tuple[int, int],
) -> list[ExemplarView]:
    """Return up to `limit` exemplars of one or all classes in herding order.

    They are those after an index and a rank. Raises ClassifierNotFoundError, VersionNotFoundError
    and ClassNotFoundError.
    """
    with db.reading() as session:
        version = require(session, classifiers.require(session, workspace, name), reference)
        wanted = None if label is None else _known(session, version, label)
        found = version_rows.exemplars(session, version.id, label=wanted, limit=limit, after=after)
        return [
            ExemplarView(label=known.label, index=known.index, rank=rank, **columns_of(image))
            for known, rank, image in found
        ]


def label_of(db: Database, workspace: str, name: str, reference: str, label: str) -> str:
    """Return a label as the version has it.

    Raises ClassifierNotFoundError, VersionNotFoundError and ClassNotFoundError.
    """
    with db.reading() as session:
        version = require(session, classifiers.require(session, workspace, name), reference)
        return _known(session, version, label)


def _known(session: Session, version: Version, label: str) -> str:
    """Return a label as the version has it. Raises ClassNotFoundError."""
    try:
        found = version_rows.class_of(session, version.id, clean_label(label))
    except ValueError:  # no class has such a label
        found = None
    if found is None:
        raise ClassNotFoundError("This version does not know that class.")
    return found.label


def annotate(
    db: Database, workspace: str, name: str, reference: str, patch: AnnotationsPatch
) -> VersionView:
    """Change what is noted about a version.

    Raises ClassifierNotFoundError and VersionNotFoundError.
    """
    with db.transaction() as session:
        classifier = classifiers.require(session, workspace, name, for_update=True)
        version = require(session, classifier, reference)
        version.annotations = {**version.annotations, **patch.model_dump(exclude_none=True)}
        session.flush()
        classifier_rows.bump_revision(session, classifier.id)
        return version_views.of(session, version)


def delete(db: Database, workspace: str, name: str, reference: str) -> None:
    """Delete a version; those learnt from it stay, with all that they need of it.

    Raises ClassifierNotFoundError, VersionNotFoundError, and VersionInUseError where an alias
    names it or a job that has not ended starts from it.
    """
    with db.transaction() as session:
        classifier = classifiers.require(session, workspace, name)
        upload_rows.lock_for_share(session, used_by=classifier.id)
        classifier = classifiers.require(session, workspace, name, for_update=True)
        version = require(session, classifier, reference)
        if reason := lineage.in_use(session, classifier, version):
            passes = reason == lineage.STARTS_A_JOB
            raise VersionInUseError(reason, headers=UNTIL_A_JOB_ENDS if passes else None)
        lineage.remove(session, version)


def image(db: Database, store: BlobStore, workspace: str, sha256: str) -> tuple[Image, bytes]:
    """Return an image that the workspace has, and its bytes.

    Raises ImageNotFoundError, ImageUnreadableError and StorageUnavailableError.
    """
    found = require_image(db, workspace, sha256)
    with stored.reading("image", ImageUnreadableError(), image=sha256):
        return found, store.get(sha256)


def image_link(
    db: Database, store: BlobStore, workspace: str, sha256: str, seconds: int
) -> str | None:
    """Return a signed URL, valid for `seconds`, of an image that the workspace has.

    None where the storage has no such URLs.
    Raises ImageNotFoundError, ImageUnreadableError and StorageUnavailableError.
    """
    found = require_image(db, workspace, sha256)
    with stored.reading("image", ImageUnreadableError(), image=sha256):
        link = store.link(sha256, found.media_type, seconds)
        if link is not None and not store.exists(sha256):
            raise BlobMissingError(sha256)
        return link


def require_image(db: Database, workspace: str, sha256: str) -> Image:
    """Return an image that the workspace has. Raises ImageNotFoundError."""
    with db.reading() as session:
        found = workspace_rows.image(session, workspace, sha256)
    if found is None:
        raise ImageNotFoundError("This workspace has no image of that hash.")
    return found
