"""Taking a version out of its tree: what stands in the way, and what its children take over."""

from sqlalchemy.orm import Session

from app.db.repositories import (
    jobs as job_rows,
    learning as learning_rows,
    versions as version_rows,
)
from app.db.tables import Classifier, Job, Version, VersionClass
from app.errors import FieldError, ServiceError
from app.services.classifiers.references import LIVE


class UnknownBaseVersionError(ServiceError, status=422, code="unknown-base-version"):
    """The classifier has no version of the number that the job should start from."""


def find_base(session: Session, classifier: Classifier, number: int | None) -> Version | None:
    """Return the version that a job starts from, None at a classifier's first.

    Without a number that is the one `live` names or, where versions are promoted by hand, the
    newest that descends from it. Raises UnknownBaseVersionError.
    """
    if number is not None:
        version = version_rows.by_number(session, classifier.id, number)
        if version is None:
            error = FieldError("/base_version", "there is no such version")
            raise UnknownBaseVersionError(f"There is no version {number}.", errors=[error])
        return version
    live = version_rows.by_alias(session, classifier.id, LIVE)
    if live is None or classifier.spec["promotion"]["policy"] != "manual":
        return live
    return version_rows.newest_descendant(session, live.id)


def base_of(session: Session, classifier: Classifier, job: Job) -> Version | None:
    """Return the version that a claimed job starts from, and record it in the job.

    A job that was claimed before keeps the base version of its first attempt, unless another has
    published since: an older job that was tried again, whose classes must not get lost.
    Raises UnknownBaseVersionError.
    """
    if (
        job.base_version_id is not None
        and job.started_at is not None
        and not version_rows.any_since(session, classifier.id, job.started_at)
    ):
        return version_rows.get(session, job.base_version_id)
    base = find_base(session, classifier, job.request["base_version"])
    if base is not None:
        job_rows.record_base(session, job.id, job.attempt, base.id)
    return base


def classes_of(session: Session, version: Version | None) -> list[VersionClass]:
    """Return a version's classes in column order, none where there is no version."""
    return version_rows.classes(session, [version.id])[version.id] if version else []


def in_use(session: Session, classifier: Classifier, version: Version) -> str | None:
    """Say what keeps a version from being deleted: an alias, or a job that starts from it.

    A job that waits and names no version will start from the one that `find_base` finds.
    """
    if names := version_rows.aliases(session, [version.id])[version.id]:
        return f"It has aliases: {', '.join(names)}."
    waits = job_rows.waits_without_base(session, classifier.id)
    base = find_base(session, classifier, None) if waits else None
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
