"""The queues of jobs that wait: one of each classifier, and those of jobs that belong to none.

Many clients ask again and again where their job stands, and to read all queues takes milliseconds.
So they are remembered for a moment.
"""

import time
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import Pool, Select, func, select, true, type_coerce
from sqlalchemy.orm import Session
from sqlalchemy.types import NullType

from app.db.repositories.turns import HARDWARE, QUEUED, last_worked_on, last_worked_on_alone
from app.db.tables import HOLDING_STATES, Classifier, Job

# How long queues are remembered while no job joins, leaves or holds: other hardware of a classifier
# shows so much later.
_SECONDS = 0.5

# When something was last worked on, to be compared alone: (False, None) for never. Times are as the
# database's driver gives them, since there may be thousands.
At = tuple[bool, Any]


class Queue(NamedTuple):
    """The queued jobs of a classifier; `at` is when it was last worked on."""

    key: str
    hardware: str
    jobs: int
    first: str
    at: At


class Place(NamedTuple):
    """Where a job stands: in which turn of its own queue, and what orders those of that turn."""

    key: str
    hardware: str
    turn: int
    id: str
    at: At


class Queues(NamedTuple):
    """All queues: those of classifiers, and where each job stands that belongs to none."""

    owned: Sequence[Queue]
    single: Sequence[Place]


class _Remembered(NamedTuple):
    state: Any
    until: float
    queues: Queues


_REMEMBERED: WeakKeyDictionary[Pool, _Remembered] = WeakKeyDictionary()


def queues(session: Session) -> Queues:
    """Return all queues, as they were at most half a second ago."""
    bind = session.get_bind()
    # A transaction that writes may be undone: what it sees is for itself.
    if bind.get_execution_options().get("accrue_writes"):
        return _read(session)
    pool = bind.engine.pool
    state = session.execute(_select_state()).one()
    found = _REMEMBERED.get(pool)
    if found is None or found.state != state or time.monotonic() >= found.until:
        found = _Remembered(state, time.monotonic() + _SECONDS, _read(session))
        _REMEMBERED[pool] = found
    return found.queues


def _read(session: Session) -> Queues:
    owned = [
        Queue(key, hardware, jobs, first, (at is not None, at))
        for key, hardware, jobs, first, at in session.execute(_select_owned())
    ]
    single = [
        Place(key, hardware, turn, job_id, (at is not None, at))
        for key, hardware, turn, job_id, at in session.execute(_select_single())
    ]
    return Queues(owned, single)


# To build a statement takes longer than most run, and these are always the same.
@cache
def _select_state() -> Select[Any]:
    """Select what changes when a job joins, leaves, holds a classifier, or gives a sign of life."""
    queued = select(func.count().label("jobs"), func.max(Job.id).label("newest")).where(QUEUED)
    holding = select(func.count().label("held"), func.max(Job.heartbeat_at).label("alive")).where(
        Job.state.in_(HOLDING_STATES)
    )
    left, right = queued.subquery(), holding.subquery()
    return select(left, right).select_from(left.join(right, true()))


@cache
def _select_owned() -> Select[Any]:
    queued = (
        select(Job.classifier_id, func.count().label("jobs"), func.min(Job.id).label("first"))
        .where(QUEUED, Job.classifier_id.is_not(None))
        .group_by(Job.classifier_id)
        .subquery()
    )
    return (
        select(
            queued.c.classifier_id,
            func.coalesce(Classifier.spec["hardware"].as_string(), "any"),
            queued.c.jobs,
            queued.c.first,
            type_coerce(last_worked_on(queued.c.classifier_id), NullType),
        )
        .select_from(queued)
        .join(Classifier, Classifier.id == queued.c.classifier_id)
    )


@cache
def _select_single() -> Select[Any]:
    turn = func.row_number().over(partition_by=Job.workspace, order_by=Job.id)
    at = last_worked_on_alone(Job.workspace)
    return (
        select(Job.workspace, HARDWARE, turn, Job.id, type_coerce(at, NullType))
        .outerjoin(Classifier, Classifier.id == Job.classifier_id)
        .where(QUEUED, Job.classifier_id.is_(None))
    )
