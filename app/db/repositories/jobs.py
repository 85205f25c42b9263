"""Queries about jobs: the queue of record.

Every write to a running job names its attempt, the fencing token: a worker that lost its lease
changes nothing. Events are appended in a transaction that has already written the job's row, so
that two writers never take the same sequence number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.db.repositories import turns as turn_rows
from app.db.repositories.turns import is_next
from app.db.tables import (
    HOLDING_STATES,
    Classifier,
    Job,
    JobEvent,
    JobUpload,
    Upload,
    Version,
)


@dataclass(frozen=True)
class JobRow:
    """A job with what its view takes from other tables."""

    job: Job
    classifier: str
    version: int | None
    # See `turns.positions`; None unless queued.
    queue_position: int | None


@dataclass(frozen=True)
class Event:
    """Something that happened to a job, not yet written."""

    type: str
    message: str
    level: str = "info"
    data: dict[str, Any] | None = None


def add(session: Session, job: Job, uploads: Sequence[str]) -> None:
    """Insert a job and the uploads it learns from, in their order."""
    session.add(job)
    session.flush()
    _add_uploads(session, job.id, uploads, first=0)


def inherit_uploads(session: Session, source: str, target: str) -> None:
    """Count the uploads of one job among those of another, whose version takes its place."""
    present = uploads_of(session, target)
    inherited = [upload for upload in uploads_of(session, source) if upload not in present]
    # One that is being deleted in this moment is waited for, and then not there to be named.
    kept = select(Upload.id).where(Upload.id.in_(inherited)).order_by(Upload.id)
    there = set(session.scalars(kept.with_for_update(read=True, key_share=True)))
    new = [upload for upload in inherited if upload in there]
    _add_uploads(session, target, new, first=len(present))


def _add_uploads(session: Session, job_id: str, uploads: Sequence[str], *, first: int) -> None:
    rows = [
        {"job_id": job_id, "position": position, "upload_id": upload}
        for position, upload in enumerate(uploads, start=first)
    ]
    if rows:
        session.execute(insert(JobUpload), rows)


def get(session: Session, job_id: str) -> Job | None:
    """Return the job, whatever its workspace: workers serve all."""
    return session.get(Job, job_id, populate_existing=True)


def newest(session: Session, classifier_id: str) -> str | None:
    """Return the id of a classifier's newest job."""
    return session.scalar(select(func.max(Job.id)).where(Job.classifier_id == classifier_id))


def uploads_of(session: Session, job_id: str) -> list[str]:
    """Return the uploads a job learns from, in the order they were named."""
    query = select(JobUpload.upload_id).where(JobUpload.job_id == job_id)
    return list(session.scalars(query.order_by(JobUpload.position)))


def waits_without_base(session: Session, classifier_id: str) -> bool:
    """Say whether a queued job of the classifier leaves open which version it starts from."""
    waits = exists().where(
        Job.classifier_id == classifier_id,
        Job.state == "queued",
        Job.request["base_version"].as_integer().is_(None),
    )
    return bool(session.scalar(select(waits)))


def append_events(session: Session, job_id: str, events: Sequence[Event], *, now: datetime) -> None:
    """Append events; the caller has written the job's row in this transaction."""
    if not events:
        return
    last = session.scalar(select(func.max(JobEvent.seq)).where(JobEvent.job_id == job_id)) or 0
    session.execute(
        insert(JobEvent),
        [
            {
                "job_id": job_id,
                "seq": seq,
                "at": now,
                "type": event.type,
                "level": event.level,
                "message": event.message,
                "data": event.data or {},
            }
            for seq, event in enumerate(events, start=last + 1)
        ],
    )


def warn_queued(session: Session, job_id: str, warning: Event, *, now: datetime) -> None:
    """Give a warning to a job that waits, unless it has been given it before."""
    # The write that keeps two writers from taking one sequence number.
    if _changed(session, and_(Job.id == job_id, Job.state == "queued"), {"state": "queued"}):
        unsaid = without_known_warnings(session, job_id, [warning])
        append_events(session, job_id, unsaid, now=now)


def without_known_warnings(session: Session, job_id: str, events: Sequence[Event]) -> list[Event]:
    """Return the events less the warnings that the job has been given, now or before."""
    warnings = {event.message for event in events if event.type == "warning"}
    if not warnings:
        return list(events)
    query = select(JobEvent.message).where(
        JobEvent.job_id == job_id, JobEvent.type == "warning", JobEvent.message.in_(warnings)
    )
    known = set(session.scalars(query))
    unsaid = []
    for event in events:
        if event.type != "warning" or event.message not in known:
            unsaid.append(event)
        if event.type == "warning":
            known.add(event.message)
    return unsaid


def claim(
    session: Session,
    job_id: str,
    *,
    worker: str,
    now: datetime,
    lease: timedelta,
) -> int | None:
    """Take a waiting job for a worker and return its new attempt, None if it is not to be had.

    One conditional update decides. That of a lost worker waits once its lease was ended.
    """
    statement = (
        update(Job)
        .where(Job.id == job_id, Job.state == "queued", is_next())
        .values(
            state="running",
            phase="preparing",
            progress=None,
            error=None,
            attempt=Job.attempt + 1,
            worker_id=worker,
            lease_expires_at=now + lease,
            heartbeat_at=now,
            started_at=func.coalesce(Job.started_at, now),
        )
        .returning(Job.attempt)
        .execution_options(synchronize_session=False)
    )
    try:
        with session.begin_nested():
            return session.scalar(statement)
    except IntegrityError:
        # Another job of the classifier was claimed in the same moment: its worker goes first.
        return None


def _held(job_id: str, attempt: int) -> ColumnElement[bool]:
    return and_(Job.id == job_id, Job.attempt == attempt, Job.state.in_(HOLDING_STATES))


def _running(job_id: str, attempt: int) -> ColumnElement[bool]:
    return and_(_held(job_id, attempt), Job.state == "running")


def heartbeat(
    session: Session,
    job_id: str,
    attempt: int,
    *,
    now: datetime,
    lease: timedelta | None,
    values: dict[str, Any],
) -> str | None:
    """Write a heartbeat, and job phase or progress; return the state, None if the job was lost.

    The heartbeat extends the lease by `lease`, or leaves it where that is None. It is fenced: the
    attempt is the fencing token.
    """
    changes: dict[str, Any] = {"heartbeat_at": now, **values}
    if lease is not None:
        changes["lease_expires_at"] = now + lease
    return session.scalar(
        update(Job)
        .where(_held(job_id, attempt))
        .values(changes)
        .returning(Job.state)
        .execution_options(synchronize_session=False)
    )


def held_state(session: Session, job_id: str, attempt: int) -> str | None:
    """Return ``running`` or ``cancelling`` while the attempt holds the job, else None."""
    return session.scalar(select(Job.state).where(_held(job_id, attempt)))


def record_base(session: Session, job_id: str, attempt: int, version_id: str | None) -> bool:
    """Write down the version a job starts from; False if the attempt lost the job."""
    return _changed(session, _held(job_id, attempt), {"base_version_id": version_id})


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

    Also where the job is being cancelled and `state` is another one.
    """
    held = _held if state == "cancelled" else _running
    changes = _released(state) | {"error": error, "finished_at": now}
    return _changed(session, held(job_id, attempt), changes)


def succeed(session: Session, job_id: str, attempt: int, *, now: datetime) -> bool:
    """End a running job as succeeded; False if the attempt lost it or it is being cancelled."""
    changes = _released("succeeded") | {"error": None, "finished_at": now}
    return _changed(session, _running(job_id, attempt), changes)


def record_report(session: Session, job_id: str, report: dict[str, Any]) -> None:
    """Write down what a job found out. The caller has written the job's row before."""
    session.execute(
        update(Job)
        .where(Job.id == job_id)
        .values(report=report)
        .execution_options(synchronize_session=False)
    )


def reports(session: Session, classifier_id: str) -> list[dict[str, Any]]:
    """Return what the jobs of a classifier have found out, oldest first."""
    query = select(Job.report).where(Job.classifier_id == classifier_id, Job.state == "succeeded")
    return [report for report in session.scalars(query.order_by(Job.id)) if report is not None]


def requeue(session: Session, job_id: str, attempt: int, *, failures: int) -> bool:
    """Put a running job back in the queue, adding to its failures; False if it was lost."""
    changes = _released("queued") | {"failures": Job.failures + failures, "sent_at": None}
    return _changed(session, _running(job_id, attempt), changes)


def cancel_queued(session: Session, job_id: str, *, now: datetime) -> bool:
    """Cancel a job that nobody has claimed."""
    waiting = and_(Job.id == job_id, Job.state == "queued")
    return _changed(session, waiting, _released("cancelled") | {"finished_at": now})


def flag_cancelling(session: Session, job_id: str) -> bool:
    """Ask the worker of a running job to stop."""
    running = and_(Job.id == job_id, Job.state == "running")
    return _changed(session, running, {"state": "cancelling"})


def restart(session: Session, job_id: str) -> bool:
    """Put a failed or cancelled job back in the queue with its failures forgotten."""
    over = and_(Job.id == job_id, Job.state.in_(("failed", "cancelled")))
    changes = _released("queued") | {
        "failures": 0,
        "error": None,
        "base_version_id": None,
        "started_at": None,
        "finished_at": None,
        "sent_at": None,
    }
    return _changed(session, over, changes)


def _released(state: str) -> dict[str, Any]:
    return {
        "state": state,
        "phase": None,
        "progress": None if state == "queued" else Job.progress,
        "worker_id": None,
        "lease_expires_at": None,
    }


def _changed(session: Session, where: ColumnElement[bool], changes: dict[str, Any]) -> bool:
    statement = update(Job).where(where).values(changes).returning(Job.id)
    found = session.scalar(statement.execution_options(synchronize_session=False))
    return found is not None


def any_expired(session: Session, *, now: datetime) -> bool:
    """Say whether some job's lease has run out."""
    return session.scalar(select(Job.id).where(_expired(now)).limit(1)) is not None


def count_expired(session: Session, *, now: datetime) -> int:
    """Return how many jobs have a lease that has run out."""
    return session.scalar(select(func.count()).select_from(Job).where(_expired(now))) or 0


def free_expired(
    session: Session, *, now: datetime, max_failures: int, error: dict[str, Any]
) -> dict[str, list[str]]:
    """Take every job with an expired lease from its worker; return the jobs by their new state.

    ``cancelled`` where that was asked for, ``failed`` with `error` where this was the last
    failure allowed, else ``queued``.
    """
    failed: dict[str, Any] = {"failures": Job.failures + 1}
    ended: dict[str, Any] = {"finished_at": now}
    # Said of each: a cancel may be accepted between two of the statements.
    running, hopeless = Job.state == "running", Job.failures + 1 >= max_failures
    steps: list[tuple[str, ColumnElement[bool], dict[str, Any]]] = [
        ("cancelled", Job.state == "cancelling", ended),
        ("failed", and_(running, hopeless), {**failed, **ended, "error": error}),
        ("queued", running, {**failed, "sent_at": None}),
    ]
    return {
        state: list(
            session.scalars(
                update(Job)
                .where(_expired(now), condition)
                .values({**_released(state), **changes})
                .returning(Job.id)
                .execution_options(synchronize_session=False)
            )
        )
        for state, condition, changes in steps
    }


def _expired(now: datetime) -> ColumnElement[bool]:
    return and_(Job.state.in_(HOLDING_STATES), Job.lease_expires_at < now)


def expire_leases_of(session: Session, worker_ids: Sequence[str], *, now: datetime) -> None:
    """End the leases of workers known to be dead."""
    session.execute(
        update(Job)
        .where(Job.state.in_(HOLDING_STATES), Job.worker_id.in_(worker_ids))
        .values(lease_expires_at=now - timedelta(microseconds=1))
        .execution_options(synchronize_session=False)
    )


def find(session: Session, workspace: str, job_id: str) -> JobRow | None:
    """Return a job of the workspace."""
    rows = _rows(session, [Job.workspace == workspace, Job.id == job_id], limit=1)
    return rows[0] if rows else None


def page(
    session: Session,
    workspace: str,
    *,
    classifier: str | None,
    state: str | None,
    limit: int,
    after: str | None,
) -> list[JobRow]:
    """Return jobs of the workspace, newest first, that come after the one named."""
    where = [Job.workspace == workspace]
    if classifier is not None:
        where.append(Classifier.name == classifier)
    if state is not None:
        where.append(Job.state == state)
    if after is not None:
        where.append(Job.id < after)
    return _rows(session, where, limit=limit)


def _rows(session: Session, where: list[ColumnElement[bool]], *, limit: int) -> list[JobRow]:
    query = (
        select(Job, Classifier.name, Version.number)
        .join(Classifier, Classifier.id == Job.classifier_id)
        .outerjoin(Version, Version.job_id == Job.id)
        .where(*where)
        .order_by(Job.id.desc())
        .limit(limit)
        .execution_options(populate_existing=True)
    )
    rows = session.execute(query).all()
    queued = [job.id for job, *_ in rows if job.state == "queued"]
    positions = turn_rows.positions(session, queued) if queued else {}
    return [JobRow(*row, positions.get(row[0].id)) for row in rows]
