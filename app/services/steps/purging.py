"""Purging: when classes are forgotten for good, what else holds them goes as well.

What goes are all versions of the classifier that know one of the classes, by label and on every
branch, the uploads with images of them that jobs of this classifier have used, and every image and
tensor that nothing else refers to then. An upload goes whole, as `DELETE /v1/uploads/{id}` would
remove it: what versions keep of its other images stays with them. Versions that remain take the
place of the deleted ones in the tree, with their held-out images of classes that remain.

Nothing is purged by half: where an alias or a job that is not finished needs what would be deleted,
the purge is refused as a whole. Only `live` does not stand in the way: where it names a version
that goes, it moves to the new one, whatever the classifier's promotion says.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy.orm import Session

from app.db.repositories import blobs as blob_rows, uploads as upload_rows, versions as version_rows
from app.db.tables import Classifier, Version
from app.errors import ServiceError
from app.services.classifiers import lineage
from app.services.classifiers.references import LIVE
from app.services.steps.plans import ForgetPlan

log = structlog.get_logger(__name__)


class CannotPurgeError(ServiceError, status=409, code="cannot-purge", title="Cannot be purged"):
    """An alias, or a job that is not finished, needs what would be deleted."""


@dataclass(frozen=True)
class Purged:
    """What was deleted: numbers of versions, ids of uploads, and blobs that nothing needs now."""

    versions: list[int]
    uploads: list[str]
    blobs: list[str]


def check(session: Session, classifier: Classifier, labels: Collection[str]) -> None:
    """Refuse at once what could not be purged once the job's turn has come.

    Jobs that wait before it are finished by then, so only those of others count.
    Raises CannotPurgeError.
    """
    _check_aliases(session, version_rows.knowing(session, classifier.id, labels))
    for upload_id in upload_rows.learnt_from(session, classifier.id, labels):
        if upload_rows.used_by_unfinished_job(session, upload_id, besides=classifier.id):
            raise _in_use(upload_id)


def lock(session: Session, plan: ForgetPlan) -> list[str]:
    """Return the uploads that go, kept from being given to another job until the commit.

    To be called before the classifier is locked: whoever makes a job locks in this order.
    """
    found = upload_rows.learnt_from(session, plan.classifier_id, plan.labels)
    return [upload_id for upload_id in sorted(found) if upload_rows.lock(session, upload_id)]


def purge(session: Session, plan: ForgetPlan, upload_ids: Sequence[str]) -> Purged:
    """Delete all that holds the plan's classes, once the version without them is there.

    `upload_ids` are those of `lock`. Raises CannotPurgeError.
    """
    doomed = version_rows.knowing(session, plan.classifier_id, plan.labels)
    _check_aliases(session, doomed)
    for old in doomed:
        if version_rows.starts_a_job(session, old):
            raise CannotPurgeError(f"A job that is not finished starts from version {old.number}.")
    for upload_id in upload_ids:
        if upload_rows.used_by_unfinished_job(session, upload_id):
            raise _in_use(upload_id)
    candidates = version_rows.blobs_of(session, [old.id for old in doomed])
    candidates |= upload_rows.blobs_of(session, upload_ids)
    for old in doomed:
        lineage.remove(session, old)
    for upload_id in upload_ids:
        upload_rows.remove(session, upload_id)
    return Purged(
        versions=[old.number for old in doomed],
        uploads=list(upload_ids),
        blobs=blob_rows.release(session, candidates),
    )


def _check_aliases(session: Session, doomed: Sequence[Version]) -> None:
    """Refuse to delete what an alias names; `live` moves to the new version."""
    names = version_rows.aliases(session, [old.id for old in doomed])
    for old in doomed:
        if others := [name for name in names[old.id] if name != LIVE]:
            raise CannotPurgeError(
                f"Version {old.number} has aliases: {', '.join(others)}. Move or delete them first."
            )


def _in_use(upload_id: str) -> CannotPurgeError:
    return CannotPurgeError(f"A job that is not finished uses {upload_id}, which holds images.")
