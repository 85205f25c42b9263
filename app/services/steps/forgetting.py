"""What a job that forgets classes will do, and what cannot be forgotten."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from app.db.repositories import learning as learning_rows, versions as version_rows
from app.db.tables import Classifier, Job, Version
from app.errors import FieldError, ServiceError
from app.services.classifiers import lineage
from app.services.labels import named
from app.services.steps.plans import ForgetPlan, PlannedClass


class UnknownClassError(ServiceError, status=422, code="unknown-class"):
    """The version does not know a class that should be forgotten."""


class CannotForgetError(
    ServiceError, status=422, code="cannot-forget", title="Cannot be forgotten"
):
    """The method cannot forget these classes, or nothing would be left."""


def columns_of(
    session: Session, classifier: Classifier, base: Version | None, request: Mapping[str, Any]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the columns in a version of the classes asked for, and the task of each of its own.

    With `purge`, a class that only other versions know has no column: forgotten on the way here, or
    learnt on another branch, it can still be purged. Raises UnknownClassError.
    """
    known = lineage.classes_of(session, base)
    columns = {row.label: column for column, row in enumerate(known)}
    absent = {label for label in request["classes"] if label not in columns}
    if request["purge"]:
        absent -= version_rows.labels_known(session, classifier.id, absent)
    if absent:
        errors = [
            FieldError(f"/classes/{place}", "there is no such class")
            for place, label in enumerate(request["classes"])
            if label in absent
        ]
        who = "No version knows" if request["purge"] else "The version to start from does not know"
        raise UnknownClassError(f"{who} {named(sorted(absent))}.", errors=errors)
    chosen = {columns[label] for label in request["classes"] if label in columns}
    return tuple(sorted(chosen)), tuple(row.task for row in known)


def plan(session: Session, job: Job) -> ForgetPlan:
    """Decide what a claimed job forgets, and record the version it starts from in the job.

    Whether the method can forget them is asked where PyTorch is: at the request and in the training
    process, not here in its parent. Raises UnknownClassError and UnknownBaseVersionError.
    """
    classifier = session.get_one(Classifier, job.classifier_id)
    base = lineage.base_of(session, classifier, job)
    columns, tasks = columns_of(session, classifier, base, job.request)
    assert base is not None  # noqa: S101 - a class of no version is unknown
    known = lineage.classes_of(session, base)
    labels = [known[column].label for column in columns]
    exemplars = learning_rows.exemplars(session, base.id)
    held_out = learning_rows.held_out(session, base.id)
    return ForgetPlan(
        job_id=job.id,
        classifier_id=classifier.id,
        # The version's own: what was learnt with these options is not learnt again with others.
        spec=base.spec,
        promotion=classifier.spec["promotion"],
        base_version_id=base.id,
        parts=version_rows.parts(session, base.id),
        history=base.metrics,
        classes=tuple(
            PlannedClass(
                label=row.label,
                index=row.index,
                task=row.task,
                known=True,
                train_images=row.train_images,
                ranking_id=row.ranking_id,
                exemplars=tuple(exemplars.get(row.index, ())),
                held_out=tuple(held_out.get(row.index, ())),
                new_held_out=(),
            )
            for column, row in enumerate(known)
            if column not in columns
        ),
        labels=tuple(dict.fromkeys([*labels, *job.request["classes"]])),
        columns=columns,
        base_tasks=tasks,
        purge=job.request["purge"],
    )
