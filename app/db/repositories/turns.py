"""The order in which queued jobs start: classifiers take turns, each with its oldest queued job.

Classifiers that were never worked on go first, then the one worked on longest ago. So a classifier
with many jobs delays another by one job at most. The jobs of a workspace that belong to no
classifier take turns as if they were one classifier's, but need not wait for one another.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    ColumnExpressionArgument,
    CompoundSelect,
    ScalarSelect,
    Select,
    String,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.orm import Session, aliased

from app.db.tables import HOLDING_STATES, Classifier, Job, JobEvent

# Written out, not bound: SQLite would not use the partial index of queued jobs.
QUEUED = Job.state == literal_column("'queued'")
HARDWARE: Any = func.coalesce(
    Classifier.spec["hardware"].as_string(), Job.request["hardware"].as_string(), "any"
)
# Jobs that a worker tries to claim, one after another: other workers may be quicker.
_CANDIDATES = 100


@dataclass(frozen=True)
class QueuedJob:
    """A queued job that a worker could claim now."""

    id: str
    hardware: str
    sent_at: datetime | None
    created_at: datetime


def is_next() -> ColumnElement[bool]:
    """No job of the queued job's classifier runs, and no older one is queued. Ids sort by time.

    Always true of a job without a classifier.
    """
    older = aliased(Job)
    return and_(
        _is_free(),
        ~exists().where(
            older.classifier_id == Job.classifier_id,
            older.state == "queued",
            older.id < Job.id,
        ),
    )


def is_due(now: ColumnExpressionArgument[datetime] | datetime) -> ColumnElement[bool]:
    """The pause after the job's last failure is over. Younger jobs of its classifier wait too."""
    return or_(Job.not_before.is_(None), Job.not_before <= now)


def waiting(session: Session, *, now: datetime) -> list[QueuedJob]:
    """Return the queued jobs that could be claimed now, oldest first."""
    return [QueuedJob(*row) for row in session.execute(_select_waiting(), {"now": now})]


def waiting_since(session: Session, *, now: datetime) -> list[tuple[str, datetime]]:
    """Return the hardware of each job that could be claimed now, and since when it could be."""
    # The newest event of a queued job, warnings aside, is the one that queued or requeued it.
    since = select(func.max(JobEvent.at)).where(
        JobEvent.job_id == Job.id, JobEvent.type != "warning"
    )
    query = (
        select(HARDWARE, since.scalar_subquery(), Job.not_before)
        .select_from(Job)
        .outerjoin(Classifier, Classifier.id == Job.classifier_id)
        .where(*_claimable())
    )
    return [
        (hardware, max(moment, not_before or moment))
        for hardware, moment, not_before in session.execute(query, {"now": now})
        if moment
    ]


def hardware_of(session: Session, job_id: str) -> str | None:
    """Return the hardware that a job asks for, None where the job does not exist."""
    query = select(HARDWARE).select_from(Job)
    query = query.outerjoin(Classifier, Classifier.id == Job.classifier_id)
    return session.scalar(query.where(Job.id == job_id))


def in_turn(session: Session, hardware: str, *, now: datetime) -> list[str]:
    """Return the jobs for this hardware that could be claimed now, in the order of their turns.

    There are `_CANDIDATES` at most: others are claimed before those are all gone.
    """
    return list(session.scalars(_select_in_turn(), {"now": now, "hardware": hardware}))


# To build a statement takes as long as these run, and they are always the same.
@cache
def _select_waiting() -> Select[Any]:
    return (
        select(Job.id, HARDWARE, Job.sent_at, Job.created_at)
        .outerjoin(Classifier, Classifier.id == Job.classifier_id)
        .where(*_claimable())
        .order_by(Job.id)
    )


@cache
def _select_in_turn() -> Select[Any]:
    alone = Job.classifier_id.is_(None)
    at = case((alone, last_worked_on_alone(Job.workspace)), else_=last_worked_on(Job.classifier_id))
    return (
        select(Job.id)
        .outerjoin(Classifier, Classifier.id == Job.classifier_id)
        .where(*_claimable(), bindparam("hardware", type_=String) == HARDWARE)
        .order_by(at.nulls_first(), Job.id)
        .limit(_CANDIDATES)
    )


def _claimable() -> tuple[ColumnElement[bool], ...]:
    """Select queued jobs that could be claimed at the time that is bound as ``now``."""
    return QUEUED, Job.id.in_(_first_queued()), is_due(bindparam("now")), _is_free()


def _first_queued() -> CompoundSelect[tuple[str]]:
    """Select the oldest queued job of each classifier, and all that belong to none.

    Of many queued jobs these are few, and so each needs a look at what runs only.
    """
    first = select(func.min(Job.id)).where(QUEUED, Job.classifier_id.is_not(None))
    alone = select(Job.id).where(QUEUED, Job.classifier_id.is_(None))
    return union_all(first.group_by(Job.classifier_id), alone)


def _is_free() -> ColumnElement[bool]:
    """No job of the queued job's classifier runs.

    What runs is read once for all queued jobs: it is little. Asked for each of them, PostgreSQL may
    read all jobs of its classifier.
    """
    holder = aliased(Job)
    # Written out, as above.
    states: list[ColumnElement[str]] = [literal_column(f"'{state}'") for state in HOLDING_STATES]
    held = select(holder.classifier_id).where(
        holder.state.in_(states), holder.classifier_id.is_not(None)
    )
    return or_(Job.classifier_id.is_(None), Job.classifier_id.not_in(held))


def last_worked_on(classifier_id: ColumnExpressionArgument[Any]) -> ScalarSelect[datetime | None]:
    """Select when a classifier was last worked on; null for never. An index has the newest."""
    other = aliased(Job)
    query = select(func.max(other.heartbeat_at)).where(other.classifier_id == classifier_id)
    return query.scalar_subquery()


def last_worked_on_alone(workspace: ColumnExpressionArgument[Any]) -> ScalarSelect[datetime | None]:
    """Select the same of a workspace's jobs that belong to no classifier."""
    other = aliased(Job)
    query = select(func.max(other.heartbeat_at)).where(
        other.classifier_id.is_(None), other.workspace == workspace
    )
    return query.scalar_subquery()


def clear_sent(session: Session) -> None:
    """Have the message of every queued job sent again: a dead worker may have lost it."""
    session.execute(update(Job).where(Job.state == "queued").values(sent_at=None))


def mark_sent(session: Session, job_ids: Sequence[str], *, now: datetime) -> None:
    """Record that the jobs' messages were handed to the broker."""
    session.execute(
        update(Job).where(Job.id.in_(job_ids), Job.state == "queued").values(sent_at=now)
    )
