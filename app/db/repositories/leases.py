"""Queries by which workers hold jobs: claim, heartbeat, end, and what expired leases lead to.

Every write to a running job names its attempt, the fencing token: a worker that lost its lease
changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.db.repositories.jobs import change, released
from app.db.repositories.turns import is_due, is_next
from app.db.tables import HOLDING_STATES, Job


@dataclass(frozen=True)
class Failed:
    """How an attempt failed after which another is made; an `outage` counts apart."""

    code: str
    detail: str
    not_before: datetime | None
    outage: bool


def claim(
    session: Session, job_id: str, *, worker: str, now: datetime, lease: timedelta
) -> int | None:
    """Claim a queued job for a worker; return its new attempt, None if it cannot be claimed.

    One conditional update decides between workers. A lost worker's job is queued again only once
    its lease has expired.
    """
    statement = (
        update(Job)
        .where(Job.id == job_id, Job.state == "queued", is_due(now), is_next())
        .values(
            state="running",
            phase="preparing",
            progress=None,
            error=None,
            not_before=None,
            attempt=Job.attempt + 1,
            worker_id=worker,
            lease_expires_at=now + lease,
            heartbeat_at=now,
            started_at=func.coalesce(Job.started_at, now),
        )
        .returning(Job.attempt)
    )
    try:
        with session.begin_nested():
            return session.scalar(statement)
    except IntegrityError:
        # Another worker claimed another job of this classifier at the same moment.
        return None


def heartbeat(
    session: Session,
    job_id: str,
    attempt: int,
    *,
    now: datetime,
    lease: timedelta | None,
    values: dict[str, Any],
) -> str | None:
    """Record a heartbeat, and phase or progress; return the job's state, None if it was lost.

    The lease is extended unless `lease` is None.
    """
    changes: dict[str, Any] = {"heartbeat_at": now, **values}
    if lease is not None:
        changes["lease_expires_at"] = now + lease
    statement = update(Job).where(_held(job_id, attempt)).values(changes)
    return session.scalar(statement.returning(Job.state))


def held_state(session: Session, job_id: str, attempt: int) -> str | None:
    """Return ``running`` or ``cancelling`` while the attempt holds the job, else None."""
    return session.scalar(select(Job.state).where(_held(job_id, attempt)))


def record_base(session: Session, job_id: str, attempt: int, version_id: str | None) -> bool:
    """Record the version a job starts from; False if the attempt lost the job."""
    return change(session, _held(job_id, attempt), {"base_version_id": version_id})


def finish(
    session: Session,
    job_id: str,
    attempt: int,
    state: str,
    *,
    now: datetime,
    error: dict[str, Any] | None = None,
) -> bool:
    """Move a held job into a final state; False if the attempt lost it.

    Also False where the job is being cancelled and `state` is not ``cancelled``.
    """
    held = _held if state == "cancelled" else _running
    changes = released(state) | {"error": error, "finished_at": now}
    return change(session, held(job_id, attempt), changes)


def requeue(session: Session, job_id: str, attempt: int, failed: Failed | None = None) -> bool:
    """Return a running job to the queue; False if the attempt lost it.

    Without a failure the next attempt may start at once, and nothing is counted.
    """
    changes = released("queued") | {"sent_at": None}
    if failed is not None:
        counter = Job.outages if failed.outage else Job.failures
        changes |= {
            counter.key: counter + 1,
            "not_before": failed.not_before,
            "last_failure": {"code": failed.code, "detail": failed.detail},
        }
    return change(session, _running(job_id, attempt), changes)


def any_expired(session: Session, *, now: datetime) -> bool:
    """Say whether the lease of some job has expired."""
    return session.scalar(select(Job.id).where(_expired(now)).limit(1)) is not None


def count_expired(session: Session, *, now: datetime) -> int:
    """Return how many jobs have an expired lease."""
    return session.scalar(select(func.count()).select_from(Job).where(_expired(now))) or 0


def free_expired(
    session: Session, *, now: datetime, max_failures: int, error: dict[str, Any]
) -> dict[str, list[str]]:
    """Take every job with an expired lease from its worker; return the jobs by their new state.

    ``cancelled`` where a cancel was requested, ``failed`` with `error` where this was the last
    failure allowed, else ``queued``.
    """
    failed: dict[str, Any] = {"failures": Job.failures + 1}
    ended: dict[str, Any] = {"finished_at": now}
    lost = {"code": error["code"], "detail": "The worker was lost."}
    # Every statement repeats its state: a cancel may be accepted between two of them.
    running, hopeless = Job.state == "running", Job.failures + 1 >= max_failures
    cases: list[tuple[str, ColumnElement[bool], dict[str, Any]]] = [
        ("cancelled", Job.state == "cancelling", ended),
        ("failed", and_(running, hopeless), {**failed, **ended, "error": error}),
        ("queued", running, {**failed, "sent_at": None, "last_failure": lost}),
    ]
    return {
        state: list(
            session.scalars(
                update(Job)
                .where(_expired(now), condition)
                .values({**released(state), **changes})
                .returning(Job.id)
            )
        )
        for state, condition, changes in cases
    }


def requeue_claims_of(session: Session, worker_id: str) -> list[str]:
    """Requeue the running jobs that a worker holds and does not know of; return them.

    For a worker that has no job: the answer to the commit of a claim was lost.
    """
    held = and_(Job.worker_id == worker_id, Job.state == "running")
    changes = released("queued") | {"sent_at": None}
    return list(session.scalars(update(Job).where(held).values(changes).returning(Job.id)))


def expire_of(session: Session, worker_ids: Sequence[str], *, now: datetime) -> None:
    """End the leases of workers known to be dead."""
    session.execute(
        update(Job)
        .where(Job.state.in_(HOLDING_STATES), Job.worker_id.in_(worker_ids))
        .values(lease_expires_at=now - timedelta(microseconds=1))
    )


def _held(job_id: str, attempt: int) -> ColumnElement[bool]:
    return and_(Job.id == job_id, Job.attempt == attempt, Job.state.in_(HOLDING_STATES))


def _running(job_id: str, attempt: int) -> ColumnElement[bool]:
    return and_(_held(job_id, attempt), Job.state == "running")


def _expired(now: datetime) -> ColumnElement[bool]:
    return and_(Job.state.in_(HOLDING_STATES), Job.lease_expires_at < now)
