"""The tree of versions: which one a job starts from, and how one is taken out of the tree."""

from sqlalchemy.orm import Session

from app.db.repositories import (
    jobs as job_rows,
    learning as learning_rows,
    splicing,
    versions as version_rows,
)
from app.db.tables import Classifier, Version, VersionClass
from app.errors import FieldError, ServiceError
from app.services.classifiers.references import LIVE
from app.services.classifiers.spec import spec_of

# Why a version cannot be deleted for now.
STARTS_A_JOB = "A job that has not ended starts from it. Cancel the job, or wait for its end."


class UnknownBaseVersionError(ServiceError, status=422, code="unknown-base-version"):
    """The job names a version to start from that the classifier does not have."""


def find_base(
    session: Session, classifier: Classifier, reference: int | str | None
) -> Version | None:
    """Return the version that a job starts from, None at a classifier's first.

    `reference` is its number or an alias. Without one it is the version that `live` names; where
    the promotion policy is `manual`, the newest version that descends from that one. Raises
    UnknownBaseVersionError.
    """
    if reference is not None:
        version = (
            version_rows.by_number(session, classifier.id, reference)
            if isinstance(reference, int)
            else version_rows.by_alias(session, classifier.id, reference)
        )
        if version is None:
            error = FieldError("/base_version", "there is no such version")
            raise UnknownBaseVersionError(
                "The classifier has no version of that number or alias.", errors=[error]
            )
        return version
    live = version_rows.by_alias(session, classifier.id, LIVE)
    if live is None or spec_of(classifier).promotion.policy != "manual":
        return live
    return version_rows.newest_descendant(session, live.id)


def classes_of(session: Session, version: Version | None) -> list[VersionClass]:
    """Return a version's classes in column order, none where there is no version."""
    return version_rows.classes(session, [version.id])[version.id] if version else []


def in_use(session: Session, classifier: Classifier, version: Version) -> str | None:
    """Say which alias or job keeps a version from being deleted; None where it can be.

    A queued job that names no version will start from the one that `find_base` returns.
    """
    if names := version_rows.aliases(session, [version.id])[version.id]:
        but = "; live can only be moved" if LIVE in names else ""
        return f"It has aliases: {', '.join(names)}. Move or delete them first{but}."
    waits = job_rows.waits_without_base(session, classifier.id)
    base = find_base(session, classifier, None) if waits else None
    if version_rows.is_base_of_unfinished_job(session, version) or (
        base is not None and base.id == version.id
    ):
        return STARTS_A_JOB
    return None


def remove(session: Session, version: Version) -> None:
    """Delete a version; its children become its parent's.

    They take over its held-out images and the uploads it was learnt from. A sweep deletes images
    and tensors that nothing refers to any more.
    """
    for child in version_rows.children(session, version.id):
        if version.job_id is not None and child.job_id is not None:
            job_rows.inherit_uploads(session, version.job_id, child.job_id)
    splicing.splice_out(session, version)
    learning_rows.remove_unused_rankings(session, version.classifier_id)
