"""Counts over all processes and workspaces, for monitoring only.

Some queries read every row of a table, so callers cache the result.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ScalarSelect, func, select
from sqlalchemy.orm import Session

from app.db.repositories import leases as lease_rows, turns as turn_rows
from app.db.rows import group
from app.db.tables import (
    Base,
    Blob,
    Classifier,
    Installation,
    Job,
    Version,
    WebhookDelivery as Delivery,
    Worker,
)


@dataclass(frozen=True)
class WaitingJobs:
    """How many jobs a worker could claim now, and since when the oldest has been queued."""

    jobs: int
    since: datetime


@dataclass(frozen=True)
class FleetCounts:
    """Counts of one moment."""

    # By (kind, state).
    jobs: Mapping[tuple[str, str], int]
    # By hardware; hardware without waiting jobs is left out.
    waiting: Mapping[str, WaitingJobs]
    expired_leases: int
    # Failed jobs by the code of their error.
    failures: Mapping[str, int]
    # Live workers by (queue, device): a worker that serves two queues counts for both.
    workers: Mapping[tuple[str, str], int]
    # By state; an unsent delivery is `retrying` if it has failed before, else `pending`.
    deliveries: Mapping[str, int]
    classifiers: int
    versions: int
    blobs: int
    blob_bytes: int
    sweep_due_at: datetime | None
    # Of the last sweep, if it failed or could not delete something.
    sweep_error: str | None
    undeleted_blobs: int


def counts(session: Session, *, now: datetime, workers_since: datetime) -> FleetCounts:
    """Read all counts; a worker is alive if it was seen at or after `workers_since`."""
    by_kind = select(Job.kind, Job.state, func.count()).group_by(Job.kind, Job.state)
    blobs, size = session.execute(select(func.count(), func.sum(Blob.size)).select_from(Blob)).one()
    classifiers, versions = session.execute(select(_count(Classifier), _count(Version))).one()
    sweep = select(
        Installation.sweep_due_at, Installation.sweep_error, Installation.undeleted_blobs
    )
    due_at, error, undeleted = session.execute(sweep).one_or_none() or (None, None, 0)
    return FleetCounts(
        jobs={(kind, state): count for kind, state, count in session.execute(by_kind)},
        waiting=_waiting(session, now),
        expired_leases=lease_rows.count_expired(session, now=now),
        failures=_failures(session),
        workers=_workers(session, workers_since),
        deliveries=_deliveries(session),
        classifiers=classifiers,
        versions=versions,
        blobs=blobs,
        blob_bytes=int(size or 0),
        sweep_due_at=due_at,
        sweep_error=error,
        undeleted_blobs=undeleted,
    )


def _count(table: type[Base]) -> ScalarSelect[int]:
    return select(func.count()).select_from(table).scalar_subquery()


def _waiting(session: Session, now: datetime) -> dict[str, WaitingJobs]:
    since = group(turn_rows.waiting_since(session, now=now))
    return {hardware: WaitingJobs(len(found), min(found)) for hardware, found in since.items()}


def _failures(session: Session) -> dict[str, int]:
    code = Job.error["code"].as_string()
    query = select(code, func.count()).where(Job.state == "failed").group_by(code)
    return {code: count for code, count in session.execute(query) if code is not None}


def _workers(session: Session, since: datetime) -> Counter[tuple[str, str]]:
    query = select(Worker.queues, Worker.device).where(Worker.seen_at >= since)
    return Counter((queue, device) for queues, device in session.execute(query) for queue in queues)


def _deliveries(session: Session) -> dict[str, int]:
    failed = Delivery.last_error.is_not(None)
    query = select(Delivery.state, failed, func.count()).group_by(Delivery.state, failed)
    found: dict[str, int] = {}
    for state, has_failed, count in session.execute(query):
        name = "retrying" if state == "pending" and has_failed else state
        found[name] = found.get(name, 0) + count
    return found
