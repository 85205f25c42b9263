"""Follows a job until it has ended."""

import time
from collections.abc import Callable
from typing import Any

from accrue_client.errors import JobFailedError, ServerUnreachableError, WaitTimeoutError
from accrue_client.http_api import Api
from accrue_client.progress import Tell, nothing
from accrue_client.steps import Pause, Steps
from accrue_client.views import Event, JobView

# How long one request waits for a change. Proxies cut off requests after a minute or so.
_WAIT_SECONDS = 25.0
# Not more often is the job asked for: smooth enough for a progress bar.
_PAUSE_SECONDS = 0.2


def wait(
    api: Api,
    job_id: str,
    tell: Tell,
    seconds: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Steps[JobView]:
    """Return a job once it has succeeded. Lost connections and a restarted server do not matter.

    Raises JobFailedError where it has failed or was cancelled, and WaitTimeoutError after
    `seconds`.
    """
    began, tag, job = clock(), None, None
    # Nobody looks at changes before the end.
    until = "finished" if tell is nothing else "changed"
    while job is None or not job.finished:
        left = None if seconds is None else seconds - (clock() - began)
        if left is not None and left <= 0 and job is not None:
            raise WaitTimeoutError(f"The job {job_id} has not ended within {seconds:g} seconds.")
        longest = _WAIT_SECONDS if left is None else max(0.0, min(left, _WAIT_SECONDS))
        try:
            seen, tag = yield from api.watch(f"/v1/jobs/{job_id}", tag, longest, until, left)
        except ServerUnreachableError as error:
            if left is None or job is None:
                raise
            raise WaitTimeoutError(
                f"{error} So whether the job {job_id} has ended within {seconds:g} seconds is not "
                "known."
            ) from error
        if seen is not None:
            job = JobView.of(seen)
            tell(job)
        if job is None or not job.finished:
            yield Pause(_PAUSE_SECONDS)
    return succeeded(job)


def succeeded(job: JobView) -> JobView:
    """Return a job that has ended. Raises JobFailedError unless it succeeded."""
    if job.state == "succeeded":
        return job
    reason = f": {job.error.detail} ({job.error.code})" if job.error else "."
    ended = "was cancelled" if job.state == "cancelled" else "failed"
    code = job.error.code if job.error else None
    raise JobFailedError(f"The job {job.id} {ended}{reason}", job.id, job.state, code)


def events(api: Api, job_id: str, after: int = 0) -> Steps[list[Event]]:
    """Return what has happened in a job since the event number `after`."""
    found = yield from api.pages(f"/v1/jobs/{job_id}/events", after=after or None)
    return [Event.of(each) for each in found]


def report(api: Api, job_id: str) -> Steps[dict[str, Any]]:
    """Return what a job found out."""
    found: dict[str, Any] = yield from api.get(f"/v1/jobs/{job_id}/report")
    return found
