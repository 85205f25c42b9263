"""What clients do with jobs: get, list, cancel, retry."""

from collections.abc import Collection
from datetime import datetime

from app.db.engine import Database
from app.db.repositories import events as event_rows, jobs as job_rows
from app.db.repositories.events import Event
from app.db.repositories.jobs import Wanted
from app.errors import ServiceError
from app.services.access.keyring import MissingScopeError
from app.services.access.limits import NO_QUOTA, Quota, check_new_job
from app.services.jobs import endings, views
from app.services.jobs.reports import REPORTS, ReportView
from app.services.jobs.views import JobDetailView, JobView, Kind, OnCreated, State


class JobFinishedError(ServiceError, status=409, code="job-finished"):
    """The job has ended, so there is nothing to cancel."""


class JobNotRetryableError(ServiceError, status=409, code="job-not-retryable"):
    """Only failed and cancelled jobs whose uploads still exist can be retried."""


class NoReportError(ServiceError, status=404, code="no-report"):
    """The job has no report; results of a learning step are in its version."""


def get(db: Database, workspace: str, job_id: str) -> JobDetailView:
    """Return a job. Raises JobNotFoundError."""
    with db.reading() as session:
        return views.detail(session, workspace, job_id)


def require(db: Database, workspace: str, job_id: str) -> None:
    """Raise JobNotFoundError unless the workspace has this job."""
    with db.reading() as session:
        views.require(session, workspace, job_id)


def page(
    db: Database,
    workspace: str,
    *,
    classifier: str | None = None,
    states: Collection[State] = (),
    kinds: Collection[Kind] = (),
    since: datetime | None = None,
    limit: int,
    after: str | None,
) -> list[JobView]:
    """Return up to `limit` jobs, newest first, those older than `after`."""
    wanted = Wanted(classifier, frozenset(states), frozenset(kinds), since)
    with db.reading() as session:
        rows = job_rows.page(session, workspace, wanted, limit=limit, after=after)
        return [views.of(row) for row in rows]


def report(db: Database, workspace: str, job_id: str) -> ReportView:
    """Return a job's report. Raises JobNotFoundError and NoReportError."""
    with db.reading() as session:
        job = views.require(session, workspace, job_id).job
        if job.report is None:
            raise NoReportError("This job has no report.")
        return REPORTS[job.kind].model_validate(job.report)


def cancel(db: Database, workspace: str, job_id: str) -> JobView:
    """Cancel a queued job, or ask the worker of a running job to stop. Repeating it does nothing.

    Raises JobNotFoundError and JobFinishedError.
    """
    with db.transaction() as session:
        now = db.now(session)
        views.require(session, workspace, job_id)
        if job_rows.cancel_queued(session, job_id, now=now):
            event = Event("cancelled", "Cancelled before it started.")
            endings.announce(session, job_id, [event], now=now)
        elif job_rows.flag_cancelling(session, job_id):
            event = Event("cancelling", "The worker was asked to stop.")
            event_rows.append(session, job_id, [event], now=now)
        view = views.view(session, workspace, job_id)
        if view.state in ("succeeded", "failed"):
            raise JobFinishedError(
                f"The job has {view.state}; only queued and running jobs can be cancelled."
            )
        return view


def retry(
    db: Database,
    workspace: str,
    job_id: str,
    *,
    on_created: OnCreated[JobView],
    quota: Quota = NO_QUOTA,
    may_purge: bool = True,
) -> JobView:
    """Queue a failed or cancelled job again, with no failures counted.

    Raises JobNotFoundError, JobNotRetryableError, one of `QUOTA_ERRORS`, and MissingScopeError
    for a job that purges unless `may_purge`.
    """
    with db.transaction() as session:
        job = views.require(session, workspace, job_id).job
        if job.request.get("purge") and not may_purge:
            raise MissingScopeError("Retrying a job that purges needs the scope admin.")
        check_new_job(session, workspace, quota)
        if not job_rows.restart(session, job_id):
            raise JobNotRetryableError(
                f"The job is {job.state}; only failed and cancelled jobs can be retried."
            )
        if job_rows.uploads_of(session, job_id) != job.request["uploads"]:
            raise JobNotRetryableError(
                "An upload of this job has been deleted, so it cannot be retried. Create a new job."
            )
        event = Event("requeued", "Queued again by a retry.")
        event_rows.append(session, job_id, [event], now=db.now(session))
        view = views.view(session, workspace, job_id)
        on_created(session, view)
        return view
