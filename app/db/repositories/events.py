"""Queries about what happened to jobs; `jobs.append_events` is what writes it.

Sequence numbers are given out under the lock on the job's row, which the writer holds to its
commit: a reader never finds a number before all smaller ones.
"""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.db.tables import FINAL_STATES, Job, JobEvent


class Head(NamedTuple):
    """The last event of a job, 0 before the first, its state, and its last sign of life."""

    seq: int
    state: str
    heartbeat_at: datetime | None

    @property
    def ended(self) -> bool:
        """Whether the job has ended."""
        return self.state in FINAL_STATES


def page(session: Session, job_id: str, *, after: int, limit: int) -> list[JobEvent]:
    """Return a job's events after a sequence number, in order."""
    query = select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.seq > after)
    return list(session.scalars(query.order_by(JobEvent.seq).limit(limit)))


def heads(session: Session, job_ids: Collection[str]) -> dict[str, Head]:
    """Return how far each of the jobs is; those that are gone are left out."""
    last = (
        select(func.max(JobEvent.seq))
        .where(JobEvent.job_id == Job.id)
        .scalar_subquery()
        .correlate(Job)
    )
    query = select(Job.id, func.coalesce(last, 0), Job.state, Job.heartbeat_at)
    found = session.execute(query.where(Job.id.in_(job_ids)))
    return {job_id: Head(*head) for job_id, *head in found}
