"""The order in which queued jobs start: classifiers take turns, each with its oldest queued job.

Classifiers that were never worked on go first, then the one worked on longest ago. So a classifier
with many jobs delays another by one job at most. The jobs of a workspace that belong to no
classifier take turns as if they were one classifier's, but need not wait for one another.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    and_,
    exists,
    func,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from app.db.tables import HOLDING_STATES, Classifier, Job, JobEvent

# What takes turns.
_TURN = func.coalesce(Job.classifier_id, Job.workspace)
_HARDWARE: Any = func.coalesce(
    Classifier.spec["hardware"].as_string(), Job.request["hardware"].as_string(), "any"
)


@dataclass(frozen=True)
class QueuedJob:
    """A queued job that a worker could claim now."""

    id: str
    hardware: str
    sent_at: datetime | None
    created_at: datetime


def is_next() -> ColumnElement[bool]:
    """No job of the same classifier runs, and no older one is queued. Ids sort by time.

    Always true of a job without a classifier: NULL equals nothing.
    """
    holder, older = aliased(Job), aliased(Job)
    # Two subqueries, so that each uses an index. One with OR would, for every queued job, read all
    # jobs of its classifier or all queued jobs.
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


def is_due(now: datetime) -> ColumnElement[bool]:
    """The pause after the job's last failure is over. Younger jobs of its classifier wait too."""
    return or_(Job.not_before.is_(None), Job.not_before <= now)


def waiting(session: Session, *, now: datetime) -> list[QueuedJob]:
    """Return the queued jobs that could be claimed now, oldest first."""
    query = (
        select(Job.id, _HARDWARE, Job.sent_at, Job.created_at)
        .outerjoin(Classifier, Classifier.id == Job.classifier_id)
        .where(Job.state == "queued", is_due(now), is_next())
        .order_by(Job.id)
    )
    return [QueuedJob(*row) for row in session.execute(query)]


def waiting_since(session: Session, *, now: datetime) -> list[tuple[str, datetime]]:
    """Return the hardware of each job that could be claimed now, and since when it could be."""
    # The newest event of a queued job, warnings aside, is the one that queued or requeued it.
    since = select(func.max(JobEvent.at)).where(
        JobEvent.job_id == Job.id, JobEvent.type != "warning"
    )
    query = (
        select(_HARDWARE, since.scalar_subquery(), Job.not_before)
        .select_from(Job)
        .outerjoin(Classifier, Classifier.id == Job.classifier_id)
        .where(Job.state == "queued", is_due(now), is_next())
    )
    return [
        (hardware, max(moment, not_before or moment))
        for hardware, moment, not_before in session.execute(query)
        if moment
    ]


def hardware_of(session: Session, job_id: str) -> str | None:
    """Return the hardware that a job asks for, None where the job does not exist."""
    query = select(_HARDWARE).select_from(Job)
    query = query.outerjoin(Classifier, Classifier.id == Job.classifier_id)
    return session.scalar(query.where(Job.id == job_id))


def in_turn(session: Session, hardware: str, *, now: datetime) -> list[str]:
    """Return the jobs for this hardware that could be claimed now, in the order of their turns."""
    served = _served()
    query = (
        select(Job.id)
        .outerjoin(Classifier, Classifier.id == Job.classifier_id)
        .join(served, served.c.key == _TURN)
        .where(Job.state == "queued", is_due(now), is_next(), hardware == _HARDWARE)
        .order_by(served.c.at.nulls_first(), Job.id)
    )
    return list(session.scalars(query))


def positions(session: Session, job_ids: Collection[str]) -> dict[str, int]:
    """Return the positions of queued jobs among those for the same hardware; 1 starts next.

    First comes each classifier's first job, in the order of turns, then each one's second, and so
    on. New jobs change the order.
    """
    turn = func.row_number().over(partition_by=_TURN, order_by=Job.id)
    queue = (
        select(Job.id, _TURN.label("key"), _HARDWARE.label("hardware"), turn.label("turn"))
        .outerjoin(Classifier, Classifier.id == Job.classifier_id)
        .where(Job.state == "queued")
        .subquery()
    )
    served = _served()
    order = (queue.c.turn, served.c.at.nulls_first(), queue.c.id)
    position = func.row_number().over(partition_by=queue.c.hardware, order_by=order)
    ordered = (
        select(queue.c.id, position.label("position"))
        .join(served, served.c.key == queue.c.key)
        .subquery()
    )
    return dict(session.execute(select(ordered).where(ordered.c.id.in_(job_ids))).all())


def _served() -> FromClause:
    """Select when each classifier with queued jobs was last worked on; null for never.

    The same of the jobs of each workspace that belong to no classifier.
    """
    at = func.max(Job.heartbeat_at).label("at")
    # Two queries, so that each uses an index.
    return union_all(
        select(Job.classifier_id.label("key"), at)
        .where(Job.classifier_id.in_(_queued(Job.classifier_id)))
        .group_by(Job.classifier_id),
        select(Job.workspace.label("key"), at)
        .where(
            Job.classifier_id.is_(None),
            Job.workspace.in_(_queued(Job.workspace).where(Job.classifier_id.is_(None))),
        )
        .group_by(Job.workspace),
    ).subquery()


def _queued(column: InstrumentedAttribute[Any]) -> Select[Any]:
    return select(column).where(Job.state == "queued")


def clear_sent(session: Session) -> None:
    """Have the message of every queued job sent again: a dead worker may have lost it."""
    session.execute(update(Job).where(Job.state == "queued").values(sent_at=None))


def mark_sent(session: Session, job_ids: Sequence[str], *, now: datetime) -> None:
    """Record that the jobs' messages were handed to the broker."""
    session.execute(
        update(Job).where(Job.id.in_(job_ids), Job.state == "queued").values(sent_at=now)
    )
