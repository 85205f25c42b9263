"""Evaluating a version: which images its figures rest on, and how they are recorded."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.repositories import (
    evaluated as evaluated_rows,
    jobs as job_rows,
    leases as lease_rows,
    versions as version_rows,
)
from app.db.repositories.evaluated import EvaluatedRow
from app.db.repositories.events import Event
from app.db.repositories.learning import IdentifiedImage, LabelledImage
from app.db.tables import Classifier, Job, Version
from app.errors import FieldError, ServiceError
from app.services.classifiers import lineage
from app.services.classifiers.references import LIVE
from app.services.jobs import endings
from app.services.jobs.evaluation_view import EvaluationView
from app.services.labels import named
from app.services.steps.pictures import Pictures
from app.services.steps.plans import BaseVersion, EvaluatedFile, EvaluatePlan, owner_of
from app.services.steps.requests import EvaluateRequest


class CannotEvaluateError(
    ServiceError, status=422, code="cannot-evaluate", title="Cannot be evaluated"
):
    """There is no version or image to evaluate, or the version does not predict in that way."""


@dataclass(frozen=True)
class Evaluated:
    """What the training process found out; images are the most surely wrong first."""

    report: EvaluationView
    images: list[EvaluatedRow]


def find_version(session: Session, classifier: Classifier, request: EvaluateRequest) -> Version:
    """Return the version to evaluate. Raises UnknownBaseVersionError and CannotEvaluateError."""
    if request.base_version is not None:
        found = lineage.find_base(session, classifier, request.base_version)
    else:
        found = version_rows.by_alias(session, classifier.id, request.alias or LIVE)
    if found is None:
        raise refused(
            "/alias",
            f"The classifier has no version that the alias {request.alias or LIVE} names. Learn "
            "first, or name another version.",
        )
    return found


def plan(
    job: Job,
    request: EvaluateRequest,
    version: Version | None,
    base: BaseVersion,
    images: Sequence[LabelledImage],
) -> EvaluatePlan:
    """Return what a job evaluates. Raises CannotEvaluateError."""
    if version is None or base.spec is None:
        raise refused("/alias", "The version to evaluate has been deleted.")
    files, left_out = (
        _of_uploads(base, images, request.task)
        if request.uploads
        else (_held_out(base, request.task), Counter[str]())
    )
    if not any(file.column is not None for file in files):
        raise _nothing(base, request, images, left_out)
    return EvaluatePlan(
        job_id=job.id,
        classifier_id=owner_of(job),
        spec=base.spec,
        base_version_id=base.version_id,
        parts=base.parts,
        classes=base.classes,
        version=version.number,
        images=tuple(files),
        left_out=dict(left_out),
        held_out=not request.uploads,
        task=request.task,
        classify=request.classify,
        false_alarms=request.false_alarms or base.spec.false_alarms,
    )


def succeed(db: Database, job_id: str, attempt: int, evaluated: Evaluated) -> bool:
    """Record what was found and end the job as succeeded.

    False, with nothing written, where the attempt no longer holds the job or the job is being
    cancelled.
    """
    with db.transaction() as session:
        now = db.now(session)
        if not lease_rows.finish(session, job_id, attempt, "succeeded", now=now):
            return False
        report = evaluated.report
        job_rows.record_report(session, job_id, report.model_dump(mode="json"))
        evaluated_rows.add(session, job_id, evaluated.images)
        error = "" if report.standard_error is None else f" ± {report.standard_error:.3f}"
        accuracy = f"{report.accuracy:.3f}{error}"
        said = f"Version {report.version}: accuracy {accuracy} on {report.images} images."
        data = {"version": report.version, "accuracy": report.accuracy, "images": report.images}
        endings.announce(session, job_id, [Event("succeeded", said, data=data)], now=now)
        return True


def check_labels(known: Sequence[str], labels: Sequence[str]) -> None:
    """Refuse labels none of which a version knows. Raises CannotEvaluateError."""
    if not set(labels).intersection(known):
        raise refused(
            "/uploads",
            f"The version knows none of the labels {named(sorted(set(labels)))}. It knows "
            f"{named(known)}: send images of these.",
        )


def refused(pointer: str, detail: str) -> CannotEvaluateError:
    """Return the error of a request; `pointer` is to what of it cannot be done."""
    return CannotEvaluateError(detail, errors=[FieldError(pointer, detail)])


def _held_out(base: BaseVersion, task: int | None) -> list[EvaluatedFile]:
    return [
        EvaluatedFile(
            sha256, planned.label, column, base.held_out_groups.get((planned.label, sha256))
        )
        for column, planned in enumerate(base.classes)
        for sha256 in planned.held_out
        if task in (None, planned.task)
    ]


def _of_uploads(
    base: BaseVersion, images: Sequence[LabelledImage], task: int | None
) -> tuple[list[EvaluatedFile], Counter[str]]:
    """Return the images to evaluate, and how many are left out, by why.

    What was trained on is not measured on, in whichever file it is sent, nor what looks like it or
    is of its group.
    """
    identified = (
        IdentifiedImage(image.sha256, image.pixels_sha256, image.perceptual_hash)
        for image in images
    )
    pictures = Pictures(identified, base.identities)
    trained = {pictures.same(sha256) for sha256 in base.learnt}
    like_trained = {pictures.alike(sha256) for sha256 in base.learnt}
    columns = {planned.label: column for column, planned in enumerate(base.classes)}
    left_out: Counter[str] = Counter()
    files: dict[tuple[str, str], EvaluatedFile] = {}
    for image in images:
        column = columns.get(image.label)
        picture = pictures.same(image.sha256)
        if task is not None and (column is None or base.classes[column].task != task):
            left_out["other_tasks"] += 1
        elif picture in trained:
            left_out["trained"] += 1
        elif pictures.alike(image.sha256) in like_trained:
            left_out["alike"] += 1
        elif image.group in base.trained_groups:
            left_out["of_group"] += 1
        elif (image.label, picture) in files:
            left_out["repeated"] += 1
        else:
            file = EvaluatedFile(image.sha256, image.label, column, image.group)
            files[image.label, picture] = file
    return list(files.values()), left_out


def _nothing(
    base: BaseVersion,
    request: EvaluateRequest,
    images: Sequence[LabelledImage],
    left_out: Counter[str],
) -> CannotEvaluateError:
    """Return the error where no image of a known label is left."""
    if not request.uploads:
        return refused(
            "/uploads",
            "Nothing was held out of the version's classes to measure on. Send labelled images, "
            "and name their upload.",
        )
    try:
        check_labels(base.labels, [image.label for image in images])
    except CannotEvaluateError as error:
        return error
    if left_out["trained"] or left_out["alike"] or left_out["of_group"]:
        return refused(
            "/uploads",
            "Every image of a known label was trained on, or looks like one that was or is of its "
            "group. An accuracy is of images never trained on: send others.",
        )
    return refused("/task", f"No image has the label of a class of task {request.task}.")
