"""Checks of the request for an evaluation, where PyTorch is loaded."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from app.db.repositories import (
    classifiers as classifier_rows,
    learning as learning_rows,
    versions as version_rows,
)
from app.db.tables import Classifier
from app.services.classifiers import lineage
from app.services.steps import evaluating
from app.services.steps.requests import EvaluateRequest
from models import methods


def check(
    session: Session, classifier: Classifier, request: EvaluateRequest, upload_ids: Sequence[str]
) -> None:
    """Refuse what could not be done. Raises UnknownBaseVersionError and CannotEvaluateError."""
    version = evaluating.find_version(session, classifier, request)
    classes = lineage.classes_of(session, version)
    if request.task is not None and request.task not in {row.task for row in classes}:
        raise evaluating.refused(
            "/task", f"Version {version.number} has no task {request.task}: name one that it has."
        )
    offered = methods.get(version.method).offered(version_rows.parts(session, version.id))
    if request.classify != "auto" and request.classify not in offered:
        raise evaluating.refused(
            "/classify", f"Version {version.number} classifies by {' or '.join(offered)} only."
        )
    # A job that comes first may yet teach the labels, and make another version live.
    follows = not isinstance(request.base_version, int) and classifier_rows.has_unfinished_job(
        session, classifier.id
    )
    if upload_ids and not follows:
        images = learning_rows.images_of(session, upload_ids)
        known = [row.label for row in classes]
        evaluating.check_labels(known, [image.label for image in images])
