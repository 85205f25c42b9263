"""Purging: deleting whatever else holds classes that a job forgets.

A purge deletes

- all versions of the classifier that know one of the classes, by label and on every branch;
- the uploads with images of the classes that jobs of the classifier have used. An upload is deleted
  as a whole, as by `DELETE /v1/uploads/{id}`: versions keep their exemplars and held-out images of
  its other classes;
- the hashes by which the classifier remembers that it was trained on images of the classes, and
  what its jobs found of such images;
- every image and tensor that nothing else refers to then: after the grace of the sweep, so that a
  backup under way stays whole, or at once if the request says `now`.

Children of a deleted version become its parent's, and take over its held-out images of the classes
that remain.

A purge is done as a whole or refused: it is refused where an alias, or a job that has not ended,
needs what would be deleted. The alias `live` is the exception. It moves from a deleted version to
the new one, whatever the classifier's promotion says.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeGuard

import structlog
from sqlalchemy.orm import Session

from app.db.repositories import (
    blobs as blob_rows,
    evaluated as evaluated_rows,
    trained as trained_rows,
    uploads as upload_rows,
    versions as version_rows,
)
from app.db.tables import Classifier, Version
from app.errors import UNTIL_A_JOB_ENDS, ServiceError
from app.services.classifiers import lineage
from app.services.classifiers.references import LIVE
from app.services.steps.plans import ForgetPlan, Plan

log = structlog.get_logger(__name__)


class CannotPurgeError(ServiceError, status=409, code="cannot-purge", title="Cannot be purged"):
    """An alias, or a job that has not ended, needs what would be deleted."""


@dataclass(frozen=True)
class Purged:
    """Numbers of deleted versions, ids of deleted uploads, and blobs that nothing refers to now."""

    versions: list[int]
    uploads: list[str]
    blobs: list[str]


def purges(plan: Plan) -> TypeGuard[ForgetPlan]:
    """Say whether a job purges what it forgets."""
    return isinstance(plan, ForgetPlan) and plan.purge is not False


def check(session: Session, classifier: Classifier, labels: Collection[str]) -> None:
    """Refuse at the request what could not be purged when the job runs.

    The classifier's own jobs have ended by then, so only those of other classifiers count.
    Raises CannotPurgeError.
    """
    _check_aliases(session, version_rows.with_labels(session, classifier.id, labels))
    for upload_id in upload_rows.learnt_from(session, classifier.id, labels):
        if upload_rows.used_by_unfinished_job(session, upload_id, besides=classifier.id):
            raise _in_use(upload_id)


def lock_for_update(session: Session, plan: ForgetPlan) -> list[str]:
    """Lock the uploads to delete, so that no other job is given them, and return their ids.

    To be called before the classifier is locked: `creation` locks in this order too.
    """
    found = upload_rows.learnt_from(session, plan.classifier_id, plan.labels)
    return [
        upload_id for upload_id in sorted(found) if upload_rows.lock_for_update(session, upload_id)
    ]


def purge(
    session: Session, plan: ForgetPlan, upload_ids: Sequence[str], *, now: datetime
) -> Purged:
    """Delete all that holds the plan's classes, after the version without them was added.

    `upload_ids` are those that `lock_for_update` returned. Raises CannotPurgeError.
    """
    doomed = version_rows.with_labels(session, plan.classifier_id, plan.labels)
    _check_aliases(session, doomed)
    for old in doomed:
        if version_rows.is_base_of_unfinished_job(session, old):
            raise CannotPurgeError(
                f"A job that has not ended starts from version {old.number}. Cancel it first.",
                headers=UNTIL_A_JOB_ENDS,
            )
    for upload_id in upload_ids:
        if upload_rows.used_by_unfinished_job(session, upload_id):
            raise _in_use(upload_id)
    candidates = version_rows.blobs_of(session, [old.id for old in doomed])
    candidates |= upload_rows.blobs_of(session, upload_ids)
    for old in doomed:
        lineage.remove(session, old)
    evaluated_rows.drop(session, plan.classifier_id, plan.labels)
    trained_rows.drop_trained(session, plan.classifier_id, plan.labels)
    for upload_id in upload_ids:
        upload_rows.remove(session, upload_id)
    blobs = blob_rows.release(session, candidates)
    blob_rows.mark_unreferenced(session, blobs, now)
    return Purged(
        versions=[old.number for old in doomed],
        uploads=list(upload_ids),
        blobs=blobs,
    )


def _check_aliases(session: Session, doomed: Sequence[Version]) -> None:
    """Refuse to delete what an alias names, except `live`, which moves to the new version."""
    names = version_rows.aliases(session, [old.id for old in doomed])
    for old in doomed:
        if others := [name for name in names[old.id] if name != LIVE]:
            raise CannotPurgeError(
                f"Version {old.number} has aliases: {', '.join(others)}. Move or delete them first."
            )


def _in_use(upload_id: str) -> CannotPurgeError:
    return CannotPurgeError(
        f"A job that has not ended uses {upload_id}, which holds images of these classes. Cancel "
        "it, or wait for its end.",
        headers=UNTIL_A_JOB_ENDS,
    )
