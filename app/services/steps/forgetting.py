"""Which classes a job can forget, and their columns."""

from collections.abc import Collection, Sequence

from sqlalchemy.orm import Session

from app.db.repositories import versions as version_rows
from app.errors import FieldError, ServiceError
from app.services.labels import named
from app.services.steps.requests import ForgetRequest


class UnknownClassError(ServiceError, status=422, code="unknown-class"):
    """The job names a class that the version to start from does not know."""


class CannotForgetError(
    ServiceError, status=422, code="cannot-forget", title="Cannot be forgotten"
):
    """The method cannot forget these classes, or no class would be left."""


def known_elsewhere(session: Session, classifier_id: str, request: ForgetRequest) -> set[str]:
    """Return those of the classes to purge that any version of the classifier knows.

    Forgotten on the way to the base version, or learnt on another branch, a class can still be
    purged.
    """
    if not request.purge:
        return set()
    return version_rows.known_labels(session, classifier_id, request.classes)


def columns_of(
    labels: Sequence[str], request: ForgetRequest, elsewhere: Collection[str]
) -> tuple[int, ...]:
    """Return the columns of the classes to forget in a version that knows `labels`, by column.

    A class of `known_elsewhere` needs no column. Raises UnknownClassError, also without a version.
    """
    if not labels:
        raise UnknownClassError(
            "This classifier has no live version. Learn first, or name a version by base_version.",
            errors=[FieldError("/base_version", "there is no live version to start from")],
        )
    columns = {label: column for column, label in enumerate(labels)}
    absent = {label for label in request.classes if label not in columns and label not in elsewhere}
    if absent:
        errors = [
            FieldError(f"/classes/{position}", "there is no such class", label)
            for position, label in enumerate(request.classes)
            if label in absent
        ]
        who = "No version knows" if request.purge else "The version to start from does not know"
        raise UnknownClassError(f"{who} {named(sorted(absent))}.", errors=errors)
    return tuple(sorted({columns[label] for label in request.classes if label in columns}))
