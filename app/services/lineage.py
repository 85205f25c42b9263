"""Taking a version out of its tree: what stands in the way, and what its children take over."""

from sqlalchemy.orm import Session

from app.db.repositories import jobs, versions
from app.db.repositories import learning as queries
from app.db.tables import Classifier, Version
from app.services import learning


def in_use(session: Session, classifier: Classifier, version: Version) -> str | None:
    """Say what keeps a version from being deleted: an alias, or a job that starts from it.

    A job that waits and names no version will start from the one that `learning.find_base` finds.
    """
    if names := versions.aliases(session, [version.id])[version.id]:
        return f"It has aliases: {', '.join(names)}."
    waits = jobs.waits_without_base(session, classifier.id)
    base = learning.find_base(session, classifier, None) if waits else None
    if versions.starts_a_job(session, version) or (base is not None and base.id == version.id):
        return "A job that has not ended starts from it."
    return None


def remove(session: Session, version: Version) -> None:
    """Delete a version; those learnt from it become its parent's children.

    They take over its held-out images, and its uploads as learnt from. Images and tensors stay
    until they are swept.
    """
    for child in versions.children(session, version.id):
        if version.job_id is not None and child.job_id is not None:
            jobs.inherit_uploads(session, version.job_id, child.job_id)
    versions.splice_out(session, version)
    queries.remove_unused_rankings(session, version.classifier_id)
