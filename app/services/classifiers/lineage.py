"""Taking a version out of its tree: what stands in the way, and what its children take over."""

from sqlalchemy.orm import Session

from app.db.repositories import (
    jobs as job_rows,
    learning as learning_rows,
    versions as version_rows,
)
from app.db.tables import Classifier, Version
from app.services.steps import learning


def in_use(session: Session, classifier: Classifier, version: Version) -> str | None:
    """Say what keeps a version from being deleted: an alias, or a job that starts from it.

    A job that waits and names no version will start from the one that `learning.find_base` finds.
    """
    if names := version_rows.aliases(session, [version.id])[version.id]:
        return f"It has aliases: {', '.join(names)}."
    waits = job_rows.waits_without_base(session, classifier.id)
    base = learning.find_base(session, classifier, None) if waits else None
    if version_rows.starts_a_job(session, version) or (base is not None and base.id == version.id):
        return "A job that has not ended starts from it."
    return None


def remove(session: Session, version: Version) -> None:
    """Delete a version; those learnt from it become its parent's children.

    They take over its held-out images, and its uploads as learnt from. Images and tensors stay
    until they are swept.
    """
    for child in version_rows.children(session, version.id):
        if version.job_id is not None and child.job_id is not None:
            job_rows.inherit_uploads(session, version.job_id, child.job_id)
    version_rows.splice_out(session, version)
    learning_rows.remove_unused_rankings(session, version.classifier_id)
