"""Positions of queued jobs: how many others for the same hardware start before.

First comes each classifier's first job, in the order of turns (see `turns`), then each one's
second, and so on. Only the asked jobs are ranked; of the others their number is enough.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from sqlalchemy import Select, func, select, type_coerce
from sqlalchemy.orm import Session
from sqlalchemy.types import NullType

from app.db.repositories.turns import HARDWARE, QUEUED, last_worked_on, last_worked_on_alone
from app.db.rows import group
from app.db.tables import Classifier, Job

# When something was last worked on, to be compared alone: (False, None) for never. Times are as the
# database's driver gives them, since there may be thousands.
_At = tuple[bool, Any]


class _Queue(NamedTuple):
    """The queued jobs of a classifier; `at` is when it was last worked on."""

    key: str
    hardware: str
    jobs: int
    first: str
    at: _At


class _Place(NamedTuple):
    """Where a job stands: in which turn of its own queue, and what orders those of that turn."""

    key: str
    hardware: str
    turn: int
    id: str
    at: _At


def positions(session: Session, job_ids: Collection[str]) -> dict[str, int]:
    """Return the positions of queued jobs among those for the same hardware; 1 starts next.

    New jobs change the order.
    """
    queues = _queues(session)
    single = _without_classifier(session)
    asked = [place for place in single if place.id in job_ids]
    asked += _places(session, queues, job_ids)
    ids = _later_ids(session, queues, single, asked)
    ids |= {(place.key, place.turn): place.id for place in asked}
    found: dict[str, int] = {}
    by_turn = group(((place.hardware, place.turn), place) for place in asked)
    for (hardware, turn), places in by_turn.items():
        rivals = [queue for queue in queues if queue.hardware == hardware]
        others = [place for place in single if place.hardware == hardware]
        earlier = sum(min(queue.jobs, turn - 1) for queue in rivals)
        earlier += sum(place.turn < turn for place in others)
        order = sorted(
            [
                *((q.at, ids.get((q.key, turn), q.first)) for q in rivals if q.jobs >= turn),
                *((place.at, place.id) for place in others if place.turn == turn),
            ]
        )
        for place in places:
            found[place.id] = earlier + bisect_left(order, (place.at, place.id)) + 1
    return found


def _queues(session: Session) -> list[_Queue]:
    queued = (
        select(Job.classifier_id, func.count().label("jobs"), func.min(Job.id).label("first"))
        .where(QUEUED, Job.classifier_id.is_not(None))
        .group_by(Job.classifier_id)
        .subquery()
    )
    query = (
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
    return [
        _Queue(key, hardware, jobs, first, (at is not None, at))
        for key, hardware, jobs, first, at in session.execute(query)
    ]


def _without_classifier(session: Session) -> list[_Place]:
    """Return where the queued jobs stand that belong to no classifier."""
    turn = func.row_number().over(partition_by=Job.workspace, order_by=Job.id)
    at = last_worked_on_alone(Job.workspace)
    query = (
        select(Job.workspace, HARDWARE, turn, Job.id, type_coerce(at, NullType))
        .outerjoin(Classifier, Classifier.id == Job.classifier_id)
        .where(QUEUED, Job.classifier_id.is_(None))
    )
    return [
        _Place(key, hardware, turn, job_id, (at is not None, at))
        for key, hardware, turn, job_id, at in session.execute(query)
    ]


def _places(session: Session, queues: Iterable[_Queue], job_ids: Collection[str]) -> list[_Place]:
    """Return where those of the jobs stand that belong to classifiers."""
    by_key = {queue.key: queue for queue in queues}
    owners = select(Job.classifier_id).where(Job.id.in_(job_ids))
    turns = _turns().where(Job.classifier_id.in_(owners)).subquery()
    found = session.execute(select(turns).where(turns.c.id.in_(job_ids)))
    # On PostgreSQL each query sees what is committed by then: a job may have been released since.
    return [
        _Place(key, by_key[key].hardware, turn, job_id, by_key[key].at)
        for key, turn, job_id in found
        if key in by_key
    ]


def _later_ids(
    session: Session, queues: Iterable[_Queue], single: Iterable[_Place], asked: Iterable[_Place]
) -> dict[tuple[str, int], str]:
    """Return what is second and later in the queues, where ids decide between them, by turn.

    That is so between those that were last worked on at the same time, most often never.
    """
    wanted = {place.turn for place in asked} - {1}
    alone = list({place.key: place for place in single}.values())
    moments = Counter([*(queue.at for queue in queues), *(place.at for place in alone)])
    keys = [queue.key for queue in queues if moments[queue.at] > 1]
    if not wanted or not keys:
        return {}
    turns = _turns().where(Job.classifier_id.in_(keys)).subquery()
    found = session.execute(select(turns).where(turns.c.turn.in_(wanted)))
    return {(key, turn): job_id for key, turn, job_id in found}


def _turns() -> Select[tuple[str | None, int, str]]:
    """Select the queued jobs of classifiers, and in which turn of its own each is."""
    turn = func.row_number().over(partition_by=Job.classifier_id, order_by=Job.id)
    return select(Job.classifier_id, turn.label("turn"), Job.id).where(QUEUED)
