"""Queries about what happened to jobs.

Sequence numbers are given out under the lock on the job's row, which the writer has until its
commit: a reader never finds a number before all smaller ones.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from app.db.tables import FINAL_STATES, Job, JobEvent


@dataclass(frozen=True)
class Event:
    """Something that happened to a job, not yet written."""

    type: str
    message: str
    level: str = "info"
    data: dict[str, Any] | None = None
    # Of an event whose write may be repeated, because the answer to a commit can be lost.
    identity: str | None = None


class JobHead(NamedTuple):
    """How far a job is: its last event (0 before the first), its state, its last heartbeat."""

    seq: int
    state: str
    heartbeat_at: datetime | None

    @property
    def ended(self) -> bool:
        """Whether the job has ended."""
        return self.state in FINAL_STATES


def append(session: Session, job_id: str, events: Sequence[Event], *, now: datetime) -> None:
    """Append events. The caller has written the job's row in this transaction, so it has the lock.

    Without that lock two writers could take the same sequence number. Events with an identity that
    the job has already are left out: an earlier try wrote them.
    """
    events = _unwritten(session, job_id, events)
    if not events:
        return
    last = session.scalar(select(func.max(JobEvent.seq)).where(JobEvent.job_id == job_id)) or 0
    rows = [
        {"job_id": job_id, "seq": seq, "at": now, **vars(event), "data": event.data or {}}
        for seq, event in enumerate(events, start=last + 1)
    ]
    session.execute(insert(JobEvent), rows)


def _unwritten(session: Session, job_id: str, events: Sequence[Event]) -> Sequence[Event]:
    identities = [event.identity for event in events if event.identity is not None]
    if not identities:
        return events
    query = select(JobEvent.identity).where(
        JobEvent.job_id == job_id, JobEvent.identity.in_(identities)
    )
    written = set(session.scalars(query)) - {None}
    return [event for event in events if event.identity not in written]


def without_known_warnings(session: Session, job_id: str, events: Sequence[Event]) -> list[Event]:
    """Return the events without the warnings that the job has already, or has twice among them."""
    warnings = {event.message for event in events if event.type == "warning"}
    if not warnings:
        return list(events)
    query = select(JobEvent.message).where(
        JobEvent.job_id == job_id, JobEvent.type == "warning", JobEvent.message.in_(warnings)
    )
    known = set(session.scalars(query))
    new = []
    for event in events:
        if event.type != "warning" or event.message not in known:
            new.append(event)
        if event.type == "warning":
            known.add(event.message)
    return new


def page(session: Session, job_id: str, *, after: int, limit: int) -> list[JobEvent]:
    """Return a job's events after a sequence number, in order."""
    query = select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.seq > after)
    return list(session.scalars(query.order_by(JobEvent.seq).limit(limit)))


def heads(session: Session, job_ids: Collection[str]) -> dict[str, JobHead]:
    """Return how far each of the jobs is; deleted jobs are left out."""
    last = (
        select(func.max(JobEvent.seq))
        .where(JobEvent.job_id == Job.id)
        .scalar_subquery()
        .correlate(Job)
    )
    query = select(Job.id, func.coalesce(last, 0), Job.state, Job.heartbeat_at)
    found = session.execute(query.where(Job.id.in_(job_ids)))
    return {job_id: JobHead(*head) for job_id, *head in found}
