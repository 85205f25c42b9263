"""Checks of the requests for a version that is made without training: by forgetting, correcting."""

from sqlalchemy.orm import Session

from app.db.tables import Classifier
from app.services.classifiers import lineage
from app.services.steps import correcting, forgetting, purging, starting
from app.services.steps.requests import CorrectRequest, ForgetRequest
from models import methods
from models.errors import LearningError


def check(
    session: Session, classifier: Classifier, request: ForgetRequest | CorrectRequest
) -> None:
    """Refuse what cannot be done. Raises one of `FORGET_ERRORS` or `CORRECT_ERRORS`."""
    if isinstance(request, ForgetRequest):
        _check_forget(session, classifier, request)
    else:
        _check_correct(session, classifier, request)


def _check_forget(session: Session, classifier: Classifier, request: ForgetRequest) -> None:
    base = lineage.find_base(session, classifier, request.base_version)
    known = lineage.classes_of(session, base)
    elsewhere = forgetting.known_elsewhere(session, classifier.id, request)
    columns = forgetting.columns_of([row.label for row in known], request, elsewhere)
    assert base is not None  # noqa: S101 - `columns_of` has refused that
    try:
        if columns:
            methods.get(base.method).check_forget([row.task for row in known], columns)
    except LearningError as error:
        raise forgetting.CannotForgetError(_sentence(error)) from error
    if request.purge:
        purging.check(session, classifier, request.classes)


def _check_correct(session: Session, classifier: Classifier, request: CorrectRequest) -> None:
    version = lineage.find_base(session, classifier, request.base_version)
    base = starting.load(session, version)
    images = correcting.decide(base, request.images)
    assert base.spec is not None  # noqa: S101 - `decide` has refused that
    try:
        if not all(image.held_out for image in images):
            methods.check_correct(base.spec)
    except LearningError as error:
        raise correcting.CannotCorrectError(_sentence(error)) from error


def _sentence(error: LearningError) -> str:
    return f"{error.detail[0].upper()}{error.detail[1:]}."
