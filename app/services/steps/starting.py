"""What happens when a claimed job starts: its base version is loaded, and its plan made."""

from collections.abc import Callable, Sequence
from functools import partial

from pydantic import ValidationError
from sqlalchemy.orm import Session

from app.db.repositories import (
    groups as group_rows,
    jobs as job_rows,
    learning as learning_rows,
    leases as lease_rows,
    trained as trained_rows,
    versions as version_rows,
)
from app.db.repositories.learning import LabelledImage
from app.db.tables import Classifier, Job, Version
from app.errors import ServiceError
from app.services.classifiers import accuracies, lineage
from app.services.classifiers.spec import ClassifierSpec, spec_of
from app.services.steps import correcting, evaluating, forgetting, learning
from app.services.steps.plans import (
    BaseVersion,
    ClassifierPlan,
    ForgetPlan,
    LearnPlan,
    PlannedClass,
    owner_of,
)
from app.services.steps.requests import (
    CorrectRequest,
    EvaluateRequest,
    ForgetRequest,
    LearnRequest,
    Request,
    request_of,
)
from models.spec import Spec


class JobUnreadableError(ServiceError, status=409, code="job-unreadable"):
    """Another release wrote the job's request or base version in a form that is not known here."""


def planner(session: Session, job: Job) -> Callable[[], ClassifierPlan]:
    """Load what a claimed job starts from, and record its base version in the job.

    Return the function that decides what the job does. It may take seconds, so that it is to be
    called after the transaction. Both raise ServiceError where the job cannot be done.
    """
    classifier = session.get_one(Classifier, job.classifier_id)
    try:
        request, spec = request_of(job), spec_of(classifier)
        version = _base_of(session, classifier, job, request)
        base = load(session, version)
    except ValidationError as error:
        raise JobUnreadableError(
            "This worker cannot read what the job was asked or starts from: a newer release wrote "
            "it. Upgrade the workers, then make the job again."
        ) from error
    if isinstance(request, LearnRequest):
        images = learning_rows.images_of(session, job_rows.uploads_of(session, job.id))
        return partial(_learn_plan, job, spec, request, base, images)
    if isinstance(request, EvaluateRequest):
        images = learning_rows.images_of(session, job_rows.uploads_of(session, job.id))
        return partial(evaluating.plan, job, request, version, base, images)
    if isinstance(request, CorrectRequest):
        return partial(correcting.plan, job, spec, request, base)
    elsewhere = forgetting.known_elsewhere(session, classifier.id, request)
    return partial(_forget_plan, job, spec, request, base, elsewhere)


def _learn_plan(
    job: Job,
    classifier: ClassifierSpec,
    request: LearnRequest,
    base: BaseVersion,
    images: Sequence[LabelledImage],
) -> LearnPlan:
    """Return what a job learns. Raises ClassAlreadyLearntError and NoTrainingImagesError."""
    learning.check_labels(set(base.labels), learning.train_counts(images), request.on_existing)
    spec = classifier.for_training(request.options)
    classes, fresh, warnings, groups = learning.plan(
        images, base, classifier.validation_fraction, spec.seed
    )
    return LearnPlan(
        job_id=job.id,
        classifier_id=owner_of(job),
        spec=spec,
        base_spec=base.spec,
        promotion=classifier.promotion,
        base_version_id=base.version_id,
        parts=base.parts,
        history=base.history,
        classes=classes,
        last_index=max(base.last_index, *(planned.index for planned in classes)),
        last_task=max(base.last_task, *(planned.task for planned in classes)),
        groups=groups,
        grouped=bool(base.trained_groups)
        or any((classes[image.column].label, image.sha256) in groups for image in fresh),
        fresh=fresh,
        warnings=warnings,
    )


def _forget_plan(
    job: Job,
    classifier: ClassifierSpec,
    request: ForgetRequest,
    base: BaseVersion,
    elsewhere: set[str],
) -> ForgetPlan:
    """Return what a job forgets. Raises UnknownClassError.

    Whether the method can forget the classes is checked where PyTorch is loaded: at the request and
    in the training process, not here in its parent.
    """
    columns = forgetting.columns_of(base.labels, request, elsewhere)
    labels = [base.labels[column] for column in columns]
    assert base.spec is not None  # noqa: S101 - `columns_of` has refused that
    return ForgetPlan(
        job_id=job.id,
        classifier_id=owner_of(job),
        # The version's own: what was learnt with its options is not trained again with others.
        spec=base.spec,
        promotion=classifier.promotion,
        base_version_id=base.version_id,
        parts=base.parts,
        history=base.history,
        classes=tuple(
            planned for column, planned in enumerate(base.classes) if column not in columns
        ),
        last_index=base.last_index,
        last_task=base.last_task,
        groups=base.held_out_groups,
        grouped=bool(base.trained_groups),
        labels=tuple(dict.fromkeys([*labels, *request.classes])),
        columns=columns,
        base_tasks=tuple(planned.task for planned in base.classes),
        purge=request.purge,
    )


def _base_of(
    session: Session, classifier: Classifier, job: Job, request: Request
) -> Version | None:
    """Return the version that a claimed job starts from, and record it in the job.

    A job that was claimed before keeps the base version of its first attempt, unless another job
    has published since: an older job that was retried, whose classes must not get lost.
    Raises UnknownBaseVersionError.
    """
    if (
        job.base_version_id is not None
        and job.started_at is not None
        and not version_rows.published_since(session, classifier.id, job.started_at)
    ):
        return version_rows.get(session, job.base_version_id)
    version = (
        evaluating.find_version(session, classifier, request)
        if isinstance(request, EvaluateRequest)
        else lineage.find_base(session, classifier, request.base_version)
    )
    if version is not None:
        lease_rows.record_base(session, job.id, job.attempt, version.id)
    return version


def load(session: Session, version: Version | None) -> BaseVersion:
    """Return what the job's plan takes from the version it starts from."""
    if version is None:
        return BaseVersion()
    exemplars = learning_rows.exemplars(session, version.id)
    held_out = learning_rows.held_out(session, version.id)
    ever_held_out = learning_rows.ever_held_out(session, version.id)
    trained = trained_rows.trained(session, version.id)
    kept = {image.sha256 for images in exemplars.values() for image in images}
    identities = learning_rows.identities(session, ever_held_out | kept)
    last_index, last_task = learning_rows.last_used(session, version.id)
    classes = lineage.classes_of(session, version)
    index_of = {row.label: row.index for row in classes}
    labels = {row.index: row.label for row in classes}
    groups = group_rows.held_out(session, version.id)
    return BaseVersion(
        version_id=version.id,
        spec=Spec.stored(version.spec),
        parts=version_rows.parts(session, version.id),
        history=accuracies.matrices_of(session, version, [row.task for row in classes]),
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
            for row in classes
        ),
        ever_held_out=frozenset(ever_held_out),
        learnt_before=frozenset(
            (label, image.sha256) for label, image in trained if not image.taken_out
        ),
        learnt_as_now=frozenset(
            (label, image.sha256)
            for label, image in trained
            if not image.taken_out
            and image.class_index is not None
            and image.class_index == index_of.get(label)
        ),
        taken_out=frozenset(
            (label, image.sha256)
            for label, image in trained
            # It may have been given the label again, and be held out.
            if image.taken_out and image.sha256 not in held_out.get(index_of.get(label, -1), ())
        ),
        identities=(*(image.identity for _, image in trained), *identities),
        trained_group={
            (label, image.sha256): image.group
            for label, image in trained
            if image.group is not None
        },
        held_out_groups={
            (labels[index], sha256): group for (index, sha256), group in groups.items()
        },
        last_index=last_index,
        last_task=last_task,
    )
