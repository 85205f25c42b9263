"""Jobs: create, follow, cancel and retry them."""

import time
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import Body, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.orm import Session

from app import etags
from app.api.access import Router, needs
from app.api.answer_headers import with_headers
from app.api.deps import (
    DB,
    Caller,
    Config,
    EventPolling,
    JobDispatcher,
    LoadedModels,
    Metrics,
    Store,
    Workspace,
)
from app.api.idempotency import Idempotency, StreamedOnce
from app.api.learn_fields import Absent, Fields
from app.api.paging import DEFAULT_LIMIT, After, Limit, Page, Since
from app.api.problems import responses
from app.api.several import SEVERAL, Several
from app.api.upload_body import SOURCE_BODY, SOURCE_ERRORS, read_source
from app.api.uploads import GroupOption, NamesOption, SplitOption, StrictOption
from app.errors import ServiceError
from app.services.access.idempotency import IDEMPOTENCY_ERRORS, Once
from app.services.access.keyring import KEY_SECONDS, Caller as CallerOfRequest
from app.services.access.limits import QUOTA_ERRORS, require_room
from app.services.jobs import evaluation_view, jobs
from app.services.jobs.evaluation_view import EvaluatedImageView, NotAnEvaluationError
from app.services.jobs.event_polling import EventPoller
from app.services.jobs.jobs import JobFinishedError, JobNotRetryableError, NoReportError
from app.services.jobs.reports import ReportView
from app.services.jobs.views import JobDetailView, JobNotFoundError, JobView, Kind, State
from app.services.steps import creation
from app.services.steps.creation import (
    CORRECT_ERRORS,
    CREATE_ERRORS,
    EVALUATE_ERRORS,
    FORGET_ERRORS,
    LearnView,
)
from app.services.steps.requests import ForgetRequest, JobRequest
from app.services.uploads import collecting
from app.services.uploads.sources import UploadLimits

router = Router(prefix="/v1", tags=["jobs"], dependencies=[needs("train")])

# When a client should poll a job again, in seconds.
RETRY_AFTER = {"Retry-After": "1"}
# After so long, every process follows a new version.
_FOLLOWED_SECONDS = 10.0


def accepted_or(*errors: type[ServiceError]) -> dict[int | str, dict[str, Any]]:
    """Return the responses of a route that makes or restarts a job."""
    return with_headers(responses(*errors), 202, "Location", "Retry-After")


@router.post(
    "/classifiers/{name}/jobs",
    status_code=202,
    responses=accepted_or(
        *CREATE_ERRORS,
        *FORGET_ERRORS,
        *CORRECT_ERRORS,
        *EVALUATE_ERRORS,
        *QUOTA_ERRORS,
        *IDEMPOTENCY_ERRORS,
    ),
)
def create_job(
    name: str,
    body: Annotated[JobRequest, Body()],
    response: Response,
    db: DB,
    settings: Config,
    caller: Caller,
    dispatcher: JobDispatcher,
    once: Idempotency,
) -> JobView:
    """Queue a job that learns, forgets classes, corrects labels or evaluates.

    `purge` needs the scope admin.
    """
    if isinstance(body, ForgetRequest) and body.purge:
        caller.require("admin")
    job = creation.create(
        db,
        caller.workspace,
        name,
        body,
        on_created=stored(once),
        private_webhooks=settings.webhook_private,
        quota=caller.quota,
    )
    dispatcher.wake()
    response.headers.update(accepted(job))
    return job


@router.post(
    "/classifiers/{name}/learn",
    status_code=202,
    openapi_extra=SOURCE_BODY,
    responses=accepted_or(*CREATE_ERRORS, *SOURCE_ERRORS, *QUOTA_ERRORS, *IDEMPOTENCY_ERRORS),
)
async def learn(
    name: str,
    request: Request,
    response: Response,
    db: DB,
    store: Store,
    settings: Config,
    metrics: Metrics,
    caller: Caller,
    dispatcher: JobDispatcher,
    pending: StreamedOnce,
    asked: Fields,
    absent: Absent,
    split: SplitOption = "train",
    names: NamesOption = None,
    group_by: GroupOption = None,
    strict: StrictOption = False,
) -> LearnView:
    """Send labelled images and learn them: make an upload and a job, or neither."""
    if not pending.keyed:  # with a key, a stored answer comes before any check
        if absent is None:
            await run_in_threadpool(creation.require_classifier, db, caller.workspace, name)
        await run_in_threadpool(require_room, db, caller.workspace, caller.quota)
    source, once = await read_source(request, settings, metrics.uploads, pending, names, group_by)

    def create() -> LearnView:
        limits = UploadLimits.of(settings)
        collected = collecting.collect(
            store, source, limits=limits, strict=strict, split=split, group_by=group_by
        )
        return creation.create_with_upload(
            db,
            caller.workspace,
            name,
            collected,
            asked,
            absent=absent,
            on_created=stored(once),
            private_webhooks=settings.webhook_private,
            quota=caller.quota,
        )

    job = await run_in_threadpool(create)
    dispatcher.wake()
    response.headers.update(accepted(job))
    return job


@router.get("/jobs", responses=responses())
def list_jobs(
    db: DB,
    workspace: Workspace,
    classifier: Annotated[str | None, Query(max_length=200)] = None,
    state: Annotated[Several[State], Query(description=SEVERAL)] = (),
    kind: Annotated[Several[Kind], Query(description=SEVERAL)] = (),
    since: Since = None,
    limit: Limit = DEFAULT_LIMIT,
    after: After = None,
) -> Page[JobView]:
    """List jobs, newest first."""
    found = jobs.page(
        db,
        workspace,
        classifier=classifier,
        states=state,
        kinds=kind,
        since=since,
        limit=limit + 1,
        after=after,
    )
    return Page[JobView].of(found, limit, lambda job: job.id)


@router.get(
    "/jobs/{job_id}",
    response_model=JobDetailView,
    responses=with_headers(
        {**responses(JobNotFoundError), 304: {"description": "Not changed."}},
        200,
        "ETag",
        "Retry-After",
    ),
)
async def get_job(
    job_id: str,
    request: Request,
    db: DB,
    event_poller: EventPolling,
    caller: Caller,
    models: LoadedModels,
    wait: Annotated[
        float,
        Query(ge=0, le=60, description="Seconds to wait for a change."),
    ] = 0,
    until: Annotated[
        Literal["changed", "finished"],
        Query(description="What `wait` waits for."),
    ] = "changed",
) -> Response:
    """Return a job. `Retry-After` is set while the job is not finished."""
    seen = request.headers.get("if-none-match", "")
    deadline = time.monotonic() + wait
    while True:
        job = await run_in_threadpool(jobs.get, db, caller.workspace, job_id)
        content = job.model_dump_json()
        tag = etags.strong(content.encode())
        # Without a tag, wait for a change of the job as it was read first.
        seen = seen or tag
        if job.finished or (until == "changed" and not etags.names(seen, tag)):
            break
        if not await _change(event_poller, caller, request, job, deadline):
            break
    if _was_just_promoted(job):
        # So that a prediction that follows this answer is the new version's.
        await run_in_threadpool(models.refresh, job.classifier)
    headers = {"ETag": tag, **({} if job.finished else RETRY_AFTER)}
    if etags.names(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type="application/json")


@router.get("/jobs/{job_id}/report", responses=responses(JobNotFoundError, NoReportError))
def get_job_report(job_id: str, db: DB, workspace: Workspace) -> ReportView:
    """Return what a job found out or did besides the version that it made."""
    return jobs.report(db, workspace, job_id)


@router.get("/jobs/{job_id}/images", responses=responses(JobNotFoundError, NotAnEvaluationError))
def list_evaluated_images(
    job_id: str,
    db: DB,
    workspace: Workspace,
    wrong: Annotated[
        bool | None,
        Query(description="Whether the version contradicts them."),
    ] = None,
    limit: Limit = DEFAULT_LIMIT,
    after: Annotated[int, Query(ge=-1, lt=10**9)] = -1,
) -> Page[EvaluatedImageView]:
    """List the images that a job evaluated, the most surely wrong first."""
    found = evaluation_view.images(db, workspace, job_id, wrong=wrong, limit=limit + 1, after=after)
    return Page.of(found, limit, lambda image: str(image.position))


@router.post(
    "/jobs/{job_id}/cancel",
    responses=with_headers(
        {
            **responses(JobNotFoundError, JobFinishedError),
            202: {"model": JobView, "description": "The worker was asked to stop."},
        },
        202,
        "Retry-After",
    ),
)
def cancel_job(job_id: str, response: Response, db: DB, workspace: Workspace) -> JobView:
    """Cancel a job: at once if it waits, else as soon as its worker has stopped."""
    job = jobs.cancel(db, workspace, job_id)
    if not job.finished:
        response.status_code = 202
        response.headers.update(RETRY_AFTER)
    return job


@router.post(
    "/jobs/{job_id}/retry",
    status_code=202,
    responses=accepted_or(
        JobNotFoundError, JobNotRetryableError, *QUOTA_ERRORS, *IDEMPOTENCY_ERRORS
    ),
)
def retry_job(
    job_id: str,
    response: Response,
    db: DB,
    caller: Caller,
    dispatcher: JobDispatcher,
    once: Idempotency,
) -> JobView:
    """Queue a failed or cancelled job again."""
    job = jobs.retry(
        db,
        caller.workspace,
        job_id,
        on_created=stored(once),
        quota=caller.quota,
        may_purge=caller.may("admin"),
    )
    dispatcher.wake()
    response.headers.update(accepted(job))
    return job


def _was_just_promoted(job: JobDetailView) -> bool:
    """Say whether `live` names the job's version since so lately that it may not be served yet."""
    if not job.promoted or job.finished_at is None:  # nothing else makes requests wait for loads
        return False
    return (datetime.now(UTC) - job.finished_at).total_seconds() < _FOLLOWED_SECONDS


async def _change(
    event_poller: EventPoller,
    caller: CallerOfRequest,
    request: Request,
    job: JobView,
    deadline: float,
) -> bool:
    """Wait until the job has changed; False at the deadline.

    Also False if this process shuts down, the caller's key ends or the client disconnects.
    """
    while not event_poller.closed and not caller.ended and not await request.is_disconnected():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        if await event_poller.change(job, seconds=min(left, KEY_SECONDS)):
            return True
    return False


def accepted(job: JobView) -> dict[str, str]:
    """Return the headers of the answer to a request that made or restarted a job."""
    return {"Location": f"/v1/jobs/{job.id}", **RETRY_AFTER}


def stored(once: Once) -> Any:
    """Return a function that stores the answer under its idempotency key."""

    def store(session: Session, job: JobView) -> None:
        once.store_answer(session, 202, job, headers=accepted(job))

    return store
