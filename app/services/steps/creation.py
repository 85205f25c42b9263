"""Making a job. Its request is checked here, before a worker gets it."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from pydantic import Field
from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.repositories import (
    events as event_rows,
    jobs as job_rows,
    uploads as upload_rows,
    versions as version_rows,
)
from app.db.repositories.events import Event
from app.db.tables import Classifier, Job
from app.errors import FieldError, ServiceError
from app.ids import new_id
from app.services import similar_labels
from app.services.access.limits import NO_QUOTA, Quota, check_new_job
from app.services.classifiers import classifiers, lineage
from app.services.classifiers.classifiers import ClassifierNotFoundError, InvalidOptionsError
from app.services.classifiers.spec import ClassifierSpec, spec_of
from app.services.jobs import views, webhooks
from app.services.jobs.views import JobView, OnCreated
from app.services.jobs.webhooks import InvalidWebhookError
from app.services.steps import (
    correcting,
    edits,
    evaluating,
    evaluation_check,
    first_images,
    forgetting,
    learning,
    learning_check,
    purging,
)
from app.services.steps.requests import (
    CorrectRequest,
    EvaluateRequest,
    ForgetRequest,
    LearnFields,
    LearnRequest,
    Request,
)
from app.services.uploads import uploads
from app.services.uploads.collecting import Collected
from app.services.uploads.rejections import RejectedView


class UnknownUploadError(ServiceError, status=422, code="unknown-upload"):
    """The job names an upload that does not exist."""


# What creating a job may raise: any job, one that forgets, corrects or evaluates.
CREATE_ERRORS = (
    ClassifierNotFoundError,
    UnknownUploadError,
    InvalidOptionsError,
    lineage.UnknownBaseVersionError,
    learning.NoTrainingImagesError,
    learning.ClassAlreadyLearntError,
    learning_check.MemoryTooSmallError,
    learning_check.TaskIsFrozenError,
    InvalidWebhookError,
)


FORGET_ERRORS = (
    forgetting.UnknownClassError,
    forgetting.CannotForgetError,
    purging.CannotPurgeError,
)

CORRECT_ERRORS = (
    forgetting.UnknownClassError,
    correcting.UnknownImageError,
    correcting.CannotCorrectError,
)

EVALUATE_ERRORS = (evaluating.CannotEvaluateError,)


class LearnView(JobView, RejectedView):
    """A job made together with its upload."""

    uploads: list[str]
    accepted: int
    duplicates: int
    wrapping_folder: str | None = None
    warnings: list[str] = Field([])


def create(
    db: Database,
    workspace: str,
    classifier_name: str,
    request: Request,
    *,
    on_created: OnCreated[JobView],
    private_webhooks: bool = False,
    quota: Quota = NO_QUOTA,
) -> JobView:
    """Queue a job.

    Raises one of `CREATE_ERRORS`, `FORGET_ERRORS`, `CORRECT_ERRORS`, `EVALUATE_ERRORS` or
    `QUOTA_ERRORS`.
    `private_webhooks` allows a webhook on a private network and by plain http.
    """
    if request.webhook is not None:
        webhooks.check(request.webhook, private=private_webhooks)
    check: Callable[[Session, Classifier], _Accepted]
    if isinstance(request, ForgetRequest | CorrectRequest):
        check = partial(_check_edit, request=request)
    elif isinstance(request, EvaluateRequest):
        check = partial(_check_evaluate, request=request)
    else:
        checked = learning_check.check_options(db, workspace, classifier_name, request.options)
        check = partial(_check_learn, request=request, checked=checked)
    with db.transaction() as session:
        classifier = classifiers.require(session, workspace, classifier_name)
        accepted = check(session, classifier)
        view = _insert(session, db.now(session), classifier, request, accepted, quota)
        on_created(session, view)
        return view


def create_with_upload(
    db: Database,
    workspace: str,
    classifier_name: str,
    collected: Collected,
    asked: LearnFields,
    *,
    absent: ClassifierSpec | None = None,
    on_created: OnCreated[LearnView],
    private_webhooks: bool = False,
    quota: Quota = NO_QUOTA,
) -> LearnView:
    """Make an upload of collected images and queue a job that learns it, in one transaction.

    Where there is no classifier of that name, one is made by the spec `absent`, if that is given.
    Raises one of `CREATE_ERRORS` or of `QUOTA_ERRORS`.
    """
    if asked.webhook is not None:
        webhooks.check(asked.webhook, private=private_webhooks)
    checked = learning_check.check_options(db, workspace, classifier_name, asked.options, absent)
    with db.transaction() as session:
        if absent is None:
            classifier = classifiers.require(session, workspace, classifier_name)
        else:
            classifier = classifiers.ensure(session, workspace, absent)
        upload_id = uploads.insert(session, workspace, collected)
        request = LearnRequest(uploads=[upload_id], **dict(asked))
        accepted = _check_learn(session, classifier, request, checked)
        job = _insert(session, db.now(session), classifier, request, accepted, quota)
        upload = uploads.view(session, workspace, upload_id)
        fields = upload.model_dump(include=set(LearnView.model_fields) - set(JobView.model_fields))
        # What is said of the labels of both is the same.
        fields["warnings"] = list(dict.fromkeys([*upload.warnings, *accepted.warnings]))
        view = LearnView(**dict(job), **fields, uploads=[upload_id])
        on_created(session, view)
        return view


def require_classifier(db: Database, workspace: str, name: str) -> None:
    """Raise ClassifierNotFoundError early, before a body is read in vain."""
    with db.reading() as session:
        classifiers.require(session, workspace, name)


class _Accepted(NamedTuple):
    """What a checked request asks for: its uploads, and what its client should know.

    `learner` is what learns them: method and network.
    """

    uploads: Sequence[str] = ()
    warnings: Sequence[str] = ()
    learner: Mapping[str, Any] = {}


def _insert(
    session: Session,
    now: datetime,
    classifier: Classifier,
    request: Request,
    accepted: _Accepted,
    quota: Quota,
) -> JobView:
    """Write the rows of a job that has been checked.

    Raises one of `QUOTA_ERRORS`, and ClassifierNotFoundError where the classifier was deleted
    meanwhile.
    """
    classifiers.lock_for_share(session, classifier)
    check_new_job(session, classifier.workspace, quota)
    job = Job(
        # The order of ids is the order of a classifier's steps: see `turns`.
        id=new_id("job", after=job_rows.newest(session, classifier.id)),
        workspace=classifier.workspace,
        classifier_id=classifier.id,
        kind=request.kind,
        request={
            **request.model_dump(mode="json", exclude={"kind", "webhook"}),
            "uploads": list(accepted.uploads),
        },
        state="queued",
        created_at=now,
    )
    job_rows.add(session, job, accepted.uploads)
    rejected = uploads.rejection_warnings(session, classifier.workspace, accepted.uploads)
    warned = (Event("warning", warning, "warning") for warning in accepted.warnings)
    created = Event("created", "Queued.", data=dict(accepted.learner))
    events = [created, *rejected, *warned]
    event_rows.append(session, job.id, events, now=now)
    if request.webhook is not None:
        webhooks.add(session, job.id, request.webhook)
    return views.view(session, job.workspace, job.id)


def _check_edit(
    session: Session, classifier: Classifier, request: ForgetRequest | CorrectRequest
) -> _Accepted:
    """Check a job that learns from no upload."""
    edits.check(session, classifier, request)
    return _Accepted()


def _check_evaluate(
    session: Session, classifier: Classifier, request: EvaluateRequest
) -> _Accepted:
    """Return the uploads to evaluate, locked until the commit."""
    upload_ids = list(dict.fromkeys(request.uploads))
    lock_uploads(session, classifier.workspace, upload_ids)
    evaluation_check.check(session, classifier, request, upload_ids)
    return _Accepted(upload_ids)


def _check_learn(
    session: Session, classifier: Classifier, request: LearnRequest, checked: learning_check.Checked
) -> _Accepted:
    """Return the uploads to learn from, locked until the commit, and warnings."""
    upload_ids = list(dict.fromkeys(request.uploads))
    spec, stored = checked.spec, spec_of(classifier)
    if stored != checked.stored:
        spec = classifiers.check_spec(stored, request.options)
    lock_uploads(session, classifier.workspace, upload_ids)
    if stored.image_size is None:
        stored = first_images.choose_size(session, classifier, upload_ids)
    base = lineage.find_base(session, classifier, request.base_version)
    counts = upload_rows.train_counts(session, upload_ids)
    known = version_rows.labels(session, base.id) if base else set()
    if base is not None:
        classifiers.check_going_on(stored.for_training(request.options), base)
    learning.check_labels(known, counts, request.on_existing)
    learning_check.check_method(spec, known, counts)
    learner = stored.model_dump(include={"method", "backbone", "weights", "image_size"})
    return _Accepted(upload_ids, similar_labels.warnings(counts, known), learner)


def lock_uploads(session: Session, workspace: str, upload_ids: Sequence[str]) -> None:
    """Lock the uploads, so that none is changed or deleted before the job that uses them exists.

    Raises UnknownUploadError.
    """
    # Always in the same order: two jobs that lock the same uploads in two orders deadlock.
    missing = {
        upload_id
        for upload_id in sorted(upload_ids)
        if upload_rows.find(session, workspace, upload_id, for_update=True) is None
    }
    if missing:
        errors = [
            FieldError(f"/uploads/{position}", "there is no such upload")
            for position, upload_id in enumerate(upload_ids)
            if upload_id in missing
        ]
        raise UnknownUploadError(
            "The job names uploads that do not exist. Make them first.", errors=errors
        )
