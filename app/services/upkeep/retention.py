"""How long versions and uploads are kept."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.repositories import (
    classifiers as classifier_rows,
    uploads as upload_rows,
    versions as version_rows,
)
from app.db.tables import Classifier
from app.services.classifiers import lineage
from app.services.classifiers.classifiers import Retention

# Uploads whose retention has ended, looked for at a time.
_PORTION = 100


def trim_versions(session: Session, classifier: Classifier) -> list[int]:
    """Delete the versions that a classifier no longer keeps; return their numbers.

    The caller holds the classifier's lock.
    """
    keep_last = _keep_last(classifier.spec)
    if keep_last is None:
        return []
    removed = []
    for version in version_rows.older_than_newest(session, classifier.id, keep_last):
        if lineage.in_use(session, classifier, version) is None:
            lineage.remove(session, version)
            removed.append(version.number)
    return removed


def _keep_last(spec: dict[str, Any]) -> int | None:
    # Classifiers made before there was retention say nothing of it.
    return Retention.model_validate(spec.get("retention", {})).keep_last


def expire_uploads(db: Database, days: float) -> list[str]:
    """Delete the uploads whose retention has ended, and return their ids.

    That is so many days after the last job that used them ended; with 0, once one succeeded. Those
    that a classifier with `keep_images` learnt from stay, and those that no job has used yet.
    """
    expired: list[str] = []
    while True:
        with db.reading() as session:
            due = upload_rows.expired(session, _limit(db.now(session), days), limit=_PORTION)
        if not due:
            return expired
        with db.transaction() as session:
            for upload_id in due:
                # Locked, no job is given it any more; one may have been since we looked.
                if upload_rows.lock(session, upload_id) and upload_rows.expired(
                    session, _limit(db.now(session), days), only=upload_id
                ):
                    upload_rows.remove(session, upload_id)
                    expired.append(upload_id)


def follow(db: Database, classifier_id: str) -> list[int]:
    """Apply a classifier's retention of versions, if it has any; return the numbers deleted."""
    with db.reading() as session:
        found = classifier_rows.get(session, classifier_id)
        if found is None or _keep_last(found.spec) is None:
            return []
    with db.transaction() as session:
        upload_rows.keep_used(session, classifier_id)
        classifier = classifier_rows.get(session, classifier_id, lock=True)
        return trim_versions(session, classifier) if classifier else []


def _limit(now: datetime, days: float) -> datetime | None:
    return now - timedelta(days=days) if days else None
