"""Retention: how long versions and uploads are kept."""

from datetime import datetime, timedelta

from app.db.engine import Database
from app.db.repositories import (
    classifiers as classifier_rows,
    uploads as upload_rows,
    versions as version_rows,
)
from app.services.classifiers import lineage
from app.services.classifiers.spec import spec_of

# Uploads that one transaction deletes.
_BATCH = 100


def expire_uploads(db: Database, days: float) -> list[str]:
    """Delete the uploads whose retention has ended, and return their ids.

    It ends `days` after the end of the last job that used the upload; with 0, once all its jobs
    have ended and one has succeeded. Uploads stay that no job has used, or that a classifier with
    `keep_images` learnt from.
    """
    expired: list[str] = []
    while True:
        with db.reading() as session:
            due = upload_rows.expired(session, _limit(db.now(session), days), limit=_BATCH)
        if not due:
            return expired
        with db.transaction() as session:
            for upload_id in due:
                # The lock keeps new jobs from using it; one may have begun to since the query.
                if upload_rows.lock_for_update(session, upload_id) and upload_rows.expired(
                    session, _limit(db.now(session), days), only=upload_id
                ):
                    upload_rows.remove(session, upload_id)
                    expired.append(upload_id)


def apply(db: Database, classifier_id: str) -> list[int]:
    """Apply a classifier's retention of versions, if it has one; return the deleted numbers."""
    with db.reading() as session:
        found = classifier_rows.get(session, classifier_id)
        if found is None or spec_of(found).retention.keep_last is None:
            return []
    with db.transaction() as session:
        upload_rows.lock_for_share(session, used_by=classifier_id)
        classifier = classifier_rows.get(session, classifier_id, for_update=True)
        keep_last = spec_of(classifier).retention.keep_last if classifier else None
        if classifier is None or keep_last is None:
            return []
        removed = []
        for version in version_rows.older_than_newest(session, classifier.id, keep_last):
            if lineage.in_use(session, classifier, version) is None:
                lineage.remove(session, version)
                removed.append(version.number)
        return removed


def _limit(now: datetime, days: float) -> datetime | None:
    return now - timedelta(days=days) if days else None
