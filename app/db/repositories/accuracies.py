"""Queries about accuracies: the rows of the matrices, each stored once in the tree of versions."""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.repositories.learning import ancestry
from app.db.rows import insert_missing
from app.db.tables import AccuracyRow


class MeasuredRow(NamedTuple):
    """What was measured of the version `number`: a row of the matrices, by task.

    `accuracy` is over all classes. Tasks in `remeasured` have other held-out images than in the
    rows before.
    """

    number: int
    accuracy: float | None
    tasks: list[int]
    accuracies: list[float | None]
    task_aware: list[float | None]
    remeasured: list[int]


_COLUMNS = tuple(getattr(AccuracyRow, name) for name in MeasuredRow._fields)


def rows(session: Session, version_id: str) -> list[MeasuredRow]:
    """Return the rows of a version and its ancestors, oldest first."""
    chain = ancestry(version_id)
    query = select(*_COLUMNS).join(chain, chain.c.id == AccuracyRow.version_id)
    return [MeasuredRow(*row) for row in session.execute(query.order_by(AccuracyRow.number))]


def own_rows(session: Session, version_id: str) -> list[MeasuredRow]:
    """Return the rows of a version itself, oldest first."""
    query = select(*_COLUMNS).where(AccuracyRow.version_id == version_id)
    return [MeasuredRow(*row) for row in session.execute(query.order_by(AccuracyRow.number))]


def add(session: Session, version_id: str, measured: Iterable[MeasuredRow]) -> None:
    """Insert rows of a version."""
    found = [{"version_id": version_id, **row._asdict()} for row in measured]
    insert_missing(session, AccuracyRow, found)


def take_over(session: Session, parent: str, child: str) -> None:
    """Give a version the rows of its parent, which is to be deleted."""
    add(session, child, own_rows(session, parent))
