"""What is done with rows of any table: insert them, read their columns, group them by a key."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from app.db.tables import Base

# Values in one statement, below the number of parameters that every database takes.
_BATCH = 1000

K = TypeVar("K")
V = TypeVar("V")


def insert(session: Session, row: Base) -> None:
    """Insert a row at once, so that the statements that follow find it. Raises IntegrityError."""
    session.add(row)
    session.flush()


def insert_missing(session: Session, table: type[Base], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows whose keys the table does not have; existing rows stay as they are."""
    if rows:
        dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
        session.execute(dialect.insert(table).on_conflict_do_nothing(), rows)


def batched(values: Sequence[V]) -> Iterator[Sequence[V]]:
    """Yield the values in batches, each small enough for the parameters of one statement."""
    for start in range(0, len(values), _BATCH):
        yield values[start : start + _BATCH]


def columns_of(row: Base) -> dict[str, Any]:
    """Return the values of a row's columns by name."""
    return {name: getattr(row, name) for name in row.__mapper__.column_attrs.keys()}  # noqa: SIM118


def group(pairs: Iterable[tuple[K, V]]) -> dict[K, list[V]]:
    """Return the values of each key; keys and values keep the order in which they come."""
    groups: dict[K, list[V]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups
