"""Positions of queued jobs: how many others for the same hardware start before.

First comes each classifier's first job, in the order of turns (see `turns`), then each one's
second, and so on. Only the asked jobs are ranked; of the others their number is enough.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from app.db.repositories.queues import Place, Queue, queues
from app.db.repositories.turns import QUEUED
from app.db.rows import group
from app.db.tables import Job


def positions(session: Session, job_ids: Collection[str]) -> dict[str, int]:
    """Return the positions of queued jobs among those for the same hardware; 1 starts next.

    New jobs change the order.
    """
    owned, single = queues(session)
    asked = [place for place in single if place.id in job_ids]
    asked += _places(session, owned, job_ids)
    ids = _later_ids(session, owned, single, asked)
    ids |= {(place.key, place.turn): place.id for place in asked}
    found: dict[str, int] = {}
    by_turn = group(((place.hardware, place.turn), place) for place in asked)
    for (hardware, turn), places in by_turn.items():
        rivals = [queue for queue in owned if queue.hardware == hardware]
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


def _places(session: Session, owned: Iterable[Queue], job_ids: Collection[str]) -> list[Place]:
    """Return where those of the jobs stand that belong to classifiers."""
    by_key = {queue.key: queue for queue in owned}
    owners = select(Job.classifier_id).where(Job.id.in_(job_ids))
    turns = _turns().where(Job.classifier_id.in_(owners)).subquery()
    found = session.execute(select(turns).where(turns.c.id.in_(job_ids)))
    # On PostgreSQL each query sees what is committed by then: a job may have been released since.
    return [
        Place(key, by_key[key].hardware, turn, job_id, by_key[key].at)
        for key, turn, job_id in found
        if key in by_key
    ]


def _later_ids(
    session: Session, owned: Iterable[Queue], single: Iterable[Place], asked: Iterable[Place]
) -> dict[tuple[str, int], str]:
    """Return what is second and later in the queues, where ids decide between them, by turn.

    That is so between those that were last worked on at the same time, most often never.
    """
    wanted = {place.turn for place in asked} - {1}
    alone = list({place.key: place for place in single}.values())
    moments = Counter([*(queue.at for queue in owned), *(place.at for place in alone)])
    keys = [queue.key for queue in owned if moments[queue.at] > 1]
    if not wanted or not keys:
        return {}
    turns = _turns().where(Job.classifier_id.in_(keys)).subquery()
    found = session.execute(select(turns).where(turns.c.turn.in_(wanted)))
    return {(key, turn): job_id for key, turn, job_id in found}


def _turns() -> Select[tuple[str | None, int, str]]:
    """Select the queued jobs of classifiers, and in which turn of its own each is."""
    turn = func.row_number().over(partition_by=Job.classifier_id, order_by=Job.id)
    return select(Job.classifier_id, turn.label("turn"), Job.id).where(QUEUED)
