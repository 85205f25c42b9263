"""Whose turn it is: classifiers take turns, each with its oldest waiting job.

The classifier that was worked on longest ago goes first, and before all those that never were. So
one with many jobs holds up another for as long as one of them takes, and no longer.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, FromClause, and_, exists, func, select, update
from sqlalchemy.orm import Session, aliased

from app.db.tables import HOLDING_STATES, Classifier, Job, JobEvent

_HARDWARE = Classifier.spec["hardware"].as_string()


@dataclass(frozen=True)
class QueuedJob:
    """A queued job that a worker could claim now."""

    id: str
    hardware: str
    sent_at: datetime | None
    created_at: datetime


def is_next() -> ColumnElement[bool]:
    """Nothing of the same classifier runs, and nothing older waits. Ids sort by time."""
    holder, older = aliased(Job), aliased(Job)
    # Two questions, each answered by an index of its own: one with "or" reads all of a classifier's
    # jobs, or all that wait, for every job that waits.
    return and_(
        ~exists().where(
            holder.classifier_id == Job.classifier_id,
            holder.id != Job.id,
            holder.state.in_(HOLDING_STATES),
        ),
        ~exists().where(
            older.classifier_id == Job.classifier_id,
            older.state == "queued",
            older.id < Job.id,
        ),
    )


def waiting(session: Session) -> list[QueuedJob]:
    """Return the queued jobs that could be claimed now, oldest first."""
    query = (
        select(Job.id, _HARDWARE, Job.sent_at, Job.created_at)
        .join(Classifier, Classifier.id == Job.classifier_id)
        .where(Job.state == "queued", is_next())
        .order_by(Job.id)
    )
    return [QueuedJob(*row) for row in session.execute(query)]


def waiting_since(session: Session) -> list[tuple[str, datetime]]:
    """Return the hardware of each job that could be claimed now, and when it was last queued."""
    # A waiting job's newest event, but for warnings, is what put it into the queue, or back there.
    since = select(func.max(JobEvent.at)).where(
        JobEvent.job_id == Job.id, JobEvent.type != "warning"
    )
    query = (
        select(_HARDWARE, since.scalar_subquery())
        .select_from(Job)
        .join(Classifier, Classifier.id == Job.classifier_id)
        .where(Job.state == "queued", is_next())
    )
    return [(hardware, moment) for hardware, moment in session.execute(query) if moment]


def hardware_of(session: Session, job_id: str) -> str | None:
    """Return the hardware that a job asks for, None where there is no such job."""
    query = select(_HARDWARE).join(Job, Job.classifier_id == Classifier.id)
    return session.scalar(query.where(Job.id == job_id))


def in_turn(session: Session, hardware: str) -> list[str]:
    """Return the jobs for this hardware that could be claimed now, in the order of their turns."""
    served = _served()
    query = (
        select(Job.id)
        .join(Classifier, Classifier.id == Job.classifier_id)
        .join(served, served.c.classifier_id == Job.classifier_id)
        .where(Job.state == "queued", is_next(), hardware == _HARDWARE)
        .order_by(served.c.at.nulls_first(), Job.id)
    )
    return list(session.scalars(query))


def positions(session: Session, job_ids: Collection[str]) -> dict[str, int]:
    """Return the places of queued jobs in the order in which those for their hardware will start.

    1 is the next. It is the order as things are now: every classifier's first job in turn, then
    every second one, and so on.
    """
    turn = func.row_number().over(partition_by=Job.classifier_id, order_by=Job.id)
    line = (
        select(Job.id, Job.classifier_id, _HARDWARE.label("hardware"), turn.label("turn"))
        .join(Classifier, Classifier.id == Job.classifier_id)
        .where(Job.state == "queued")
        .subquery()
    )
    served = _served()
    order = (line.c.turn, served.c.at.nulls_first(), line.c.id)
    place = func.row_number().over(partition_by=line.c.hardware, order_by=order)
    places = (
        select(line.c.id, place.label("place"))
        .join(served, served.c.classifier_id == line.c.classifier_id)
        .subquery()
    )
    found = session.execute(select(places).where(places.c.id.in_(job_ids)))
    return dict(found.all())


def _served() -> FromClause:
    """When each classifier was last worked on, null where it never was."""
    waits = select(Job.classifier_id).where(Job.state == "queued")
    return (
        select(Job.classifier_id, func.max(Job.heartbeat_at).label("at"))
        .where(Job.classifier_id.in_(waits))
        .group_by(Job.classifier_id)
        .subquery()
    )


def clear_sent(session: Session) -> None:
    """Have every waiting job sent again: a dead worker may have taken its message with it."""
    session.execute(update(Job).where(Job.state == "queued").values(sent_at=None))


def mark_sent(session: Session, job_ids: Sequence[str], *, now: datetime) -> None:
    """Write down that the jobs' messages were handed to the broker."""
    session.execute(
        update(Job).where(Job.id.in_(job_ids), Job.state == "queued").values(sent_at=now)
    )
