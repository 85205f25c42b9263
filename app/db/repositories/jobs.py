"""Queries about jobs, the queue of record. What workers do to them is in `leases`."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import product
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    String,
    and_,
    cast,
    delete,
    exists,
    func,
    insert,
    select,
    union_all,
    update,
)
from sqlalchemy.orm import Session, defer

from app import ids
from app.db.repositories import events as event_rows, positions as position_rows
from app.db.repositories.events import Event
from app.db.tables import (
    FINAL_STATES,
    HOLDING_STATES,
    JOB_STATES,
    Alias,
    Classifier,
    Job,
    JobUpload,
    JobWebhook,
    Upload,
    Version,
)

# The clocks of API processes and the database differ by less.
_CLOCKS_APART = timedelta(hours=1)


@dataclass(frozen=True)
class JobRow:
    """A job with what its view takes from other tables."""

    job: Job
    classifier: str | None
    version: int | None
    # See `positions`; None unless queued.
    queue_position: int | None


class JobDetail(NamedTuple):
    """More of a single job: the numbers of the version before it and of the live one."""

    base: int | None
    live: int | None
    webhook: bool


def add(session: Session, job: Job, uploads: Sequence[str]) -> None:
    """Insert a job and the uploads it learns from, in their order."""
    session.add(job)
    session.flush()
    _add_uploads(session, job.id, uploads, first=0)


def inherit_uploads(session: Session, source: str, target: str) -> None:
    """Add the uploads of one job to those of another, whose version takes its position."""
    present = uploads_of(session, target)
    inherited = [upload for upload in uploads_of(session, source) if upload not in present]
    # Waits for a transaction that is deleting one of them, and then does not find that one.
    query = select(Upload.id).where(Upload.id.in_(inherited)).order_by(Upload.id)
    existing = set(session.scalars(query.with_for_update(read=True, key_share=True)))
    new = [upload for upload in inherited if upload in existing]
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


def any_unfinished(session: Session) -> bool:
    """Say whether any job has not ended: a short look at an index."""
    query = select(Job.id).where(Job.state.in_(("queued", *HOLDING_STATES))).limit(1)
    return session.scalar(query) is not None


def waits_without_base(session: Session, classifier_id: str) -> bool:
    """Say whether a queued job of the classifier does not name the version it starts from."""
    waits = exists().where(
        Job.classifier_id == classifier_id,
        Job.state == "queued",
        base_asked_for().is_(None),
    )
    return bool(session.scalar(select(waits)))


def base_asked_for() -> ColumnElement[str]:
    """Return what a job's request names as its base version: a number as text, or an alias."""
    # SQLite extracts a number as one, and PostgreSQL as text.
    return cast(Job.request["base_version"].as_string(), String)


def warn_queued(session: Session, job_id: str, warning: Event, *, now: datetime) -> None:
    """Append a warning to a queued job that does not have it yet."""
    # Writing the row takes its lock, which appending an event needs.
    if change(session, and_(Job.id == job_id, Job.state == "queued"), {"state": "queued"}):
        new = event_rows.without_known_warnings(session, job_id, [warning])
        event_rows.append(session, job_id, new, now=now)


def record_report(session: Session, job_id: str, report: dict[str, Any]) -> None:
    """Store what a job found out. The caller has written the job's row before."""
    session.execute(update(Job).where(Job.id == job_id).values(report=report))


def reports(session: Session, classifier_id: str, *, kind: str) -> list[dict[str, Any]]:
    """Return what a classifier's jobs of a kind have found out, oldest first."""
    query = select(Job.report).where(
        Job.classifier_id == classifier_id, Job.kind == kind, Job.state == "succeeded"
    )
    return [report for report in session.scalars(query.order_by(Job.id)) if report is not None]


def remove_ended_without_classifier(session: Session, *, before: datetime) -> int:
    """Delete the jobs of no classifier that ended before a moment, and return how many.

    Those whose uploads still exist stay: their end is what the retention of these counts from.
    """
    old = and_(
        Job.classifier_id.is_(None),
        Job.state.in_(FINAL_STATES),
        Job.finished_at < before,
        ~exists().where(JobUpload.job_id == Job.id),
    )
    return len(list(session.scalars(delete(Job).where(old).returning(Job.id))))


def cancel_queued(session: Session, job_id: str, *, now: datetime) -> bool:
    """Cancel a job that no worker has claimed."""
    waiting = and_(Job.id == job_id, Job.state == "queued")
    return change(session, waiting, released("cancelled") | {"finished_at": now})


def flag_cancelling(session: Session, job_id: str) -> bool:
    """Ask the worker of a running job to stop."""
    running = and_(Job.id == job_id, Job.state == "running")
    return change(session, running, {"state": "cancelling"})


def restart(session: Session, job_id: str) -> bool:
    """Return a failed or cancelled job to the queue with no failures counted."""
    over = and_(Job.id == job_id, Job.state.in_(("failed", "cancelled")))
    changes = released("queued") | {
        "failures": 0,
        "outages": 0,
        "last_failure": None,
        "error": None,
        "base_version_id": None,
        "started_at": None,
        "finished_at": None,
        "sent_at": None,
    }
    return change(session, over, changes)


def released(state: str) -> dict[str, Any]:
    """Return the columns of a job that enters a state in which no worker holds it."""
    return {
        "state": state,
        "phase": None,
        "progress": None if state == "queued" else Job.progress,
        "worker_id": None,
        "lease_expires_at": None,
        "not_before": None,
    }


def change(session: Session, where: ColumnElement[bool], changes: dict[str, Any]) -> bool:
    """Change the job that meets a condition; False where none does."""
    statement = update(Job).where(where).values(changes).returning(Job.id)
    return session.scalar(statement) is not None


def find(session: Session, workspace: str, job_id: str) -> JobRow | None:
    """Return a job of the workspace."""
    rows = _rows(session, [Job.workspace == workspace, Job.id == job_id], limit=1)
    return rows[0] if rows else None


def detail(session: Session, job: Job) -> JobDetail:
    """Return what the view of a single job takes from other tables, by one query."""
    base = select(Version.number).where(Version.id == job.base_version_id).scalar_subquery()
    live = (
        select(Version.number)
        .join(Alias, Alias.version_id == Version.id)
        .where(Alias.classifier_id == job.classifier_id, Alias.name == "live")
        .scalar_subquery()
    )
    webhook = exists().where(JobWebhook.job_id == job.id)
    return JobDetail(*session.execute(select(base, live, webhook)).one())


class Wanted(NamedTuple):
    """Which jobs of a workspace a list has; what is empty chooses none out."""

    classifier: str | None = None
    states: Collection[str] = ()
    kinds: Collection[str] = ()
    since: datetime | None = None


def page(
    session: Session, workspace: str, wanted: Wanted, *, limit: int, after: str | None
) -> list[JobRow]:
    """Return jobs of the workspace, newest first, those older than the one named `after`."""
    where = [Job.workspace == workspace]
    if wanted.classifier is not None:
        named = select(Classifier.id).where(
            Classifier.workspace == workspace, Classifier.name == wanted.classifier
        )
        where.append(Job.classifier_id == named.scalar_subquery())
    if wanted.since is not None:
        # Ids sort by time and have the index; they are made by other clocks than the times are.
        where += [
            Job.created_at >= wanted.since,
            Job.id >= ids.earliest("job", wanted.since - _CLOCKS_APART),
        ]
    if after is not None:
        where.append(Job.id < after)
    # One short look at an index for each state and kind: of several, none is in the lists' order.
    states = wanted.states or (JOB_STATES if wanted.kinds else (None,))
    newest = [
        select(Job.id)
        .where(*where, *_of(state, kind))
        .order_by(Job.id.desc())
        .limit(limit)
        .subquery()
        for state, kind in product(states, wanted.kinds or (None,))
    ]
    found = union_all(*(select(each.c.id) for each in newest))
    return _rows(session, [Job.id.in_(found)], limit=limit)


def _of(state: str | None, kind: str | None) -> list[ColumnElement[bool]]:
    given = ((Job.state, state), (Job.kind, kind))
    return [column == value for column, value in given if value is not None]


def _rows(session: Session, where: list[ColumnElement[bool]], *, limit: int) -> list[JobRow]:
    query = (
        select(Job, Classifier.name, Version.number)
        .outerjoin(Classifier, Classifier.id == Job.classifier_id)
        .outerjoin(Version, Version.job_id == Job.id)
        .where(*where)
        .order_by(Job.id.desc())
        .limit(limit)
        # Reports may be large, and no list shows them.
        .options(defer(Job.request), defer(Job.report))
        .execution_options(populate_existing=True)
    )
    rows = session.execute(query).all()
    queued = [job.id for job, *_ in rows if job.state == "queued"]
    positions = position_rows.positions(session, queued) if queued else {}
    return [JobRow(*row, positions.get(row[0].id)) for row in rows]
