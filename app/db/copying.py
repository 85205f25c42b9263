"""Copies of a whole database: into a file of SQLite, and from such a file into any database.

The file has the tables of this release, so what was PostgreSQL can become SQLite and vice versa.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, Column, Connection, Engine, Table, bindparam, func, select, update

from app.db.engine import make_engine
from app.db.tables import Base

_ROWS = 1000


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a SQLite database, as of one moment, while others use it. Raises sqlite3.Error."""
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as origin,
        closing(sqlite3.connect(target)) as copy,
    ):
        origin.backup(copy)


def damages(path: Path) -> list[str]:
    """Return what is wrong with the pages and references of a SQLite file, up to five lines."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as file:
            found = [text for (text,) in file.execute("PRAGMA quick_check(5)") if text != "ok"]
            if not found:
                broken = file.execute("PRAGMA foreign_key_check").fetchmany(5)
                found = [
                    f"{table} refers to a row of {to} that is gone" for table, _, to, _ in broken
                ]
    except sqlite3.Error as error:
        return [str(error)]
    return found


def copy_rows(source_url: str, target_url: str, *, replace: bool = False) -> None:
    """Copy all rows, as of one moment, into a migrated database, whole or not at all.

    Its tables must be empty; `replace` empties them. Raises SQLAlchemyError.
    """
    source, target = make_engine(source_url), make_engine(target_url)
    try:
        writing = target.execution_options(accrue_writes=True)
        with _snapshot(source) as origin, writing.begin() as copy:
            if replace:
                for table in reversed(Base.metadata.sorted_tables):
                    copy.execute(table.delete())
            known: set[Table] = set()
            for table in Base.metadata.sorted_tables:
                _insert(origin, copy, table, later=_refers_to_others(table, known))
                known.add(table)
            known.clear()
            for table in Base.metadata.sorted_tables:
                for column in _refers_to_others(table, known):
                    _refer(origin, copy, table, column)
                known.add(table)
                if target.dialect.name == "postgresql":
                    _advance_sequence(copy, table)
    finally:
        source.dispose()
        target.dispose()


def _snapshot(engine: Engine) -> Connection:
    """Return a connection whose queries see the database as of the first one."""
    connection = engine.connect()
    if engine.dialect.name == "postgresql":
        connection = connection.execution_options(isolation_level="REPEATABLE READ")
    return connection


def _refers_to_others(table: Table, known: set[Table]) -> list[Column[Any]]:
    """Return the columns that refer to rows which are not copied before the table's own."""
    return [
        column
        for column in table.columns
        if any(key.column.table not in known for key in column.foreign_keys)
    ]


def _insert(
    origin: Connection, copy: Connection, table: Table, *, later: list[Column[Any]]
) -> None:
    columns = [column for column in table.columns if column not in later]
    values = {
        column.name: bindparam(
            f"new_{column.name}",
            # Of two ways to store that there is no value, the one without one.
            type_=JSON(none_as_null=True) if isinstance(column.type, JSON) else column.type,
        )
        for column in columns
    }
    for batch in _batches(origin, columns):
        rows = [{f"new_{name}": value for name, value in row.items()} for row in batch]
        copy.execute(table.insert().values(values), rows)


def _refer(origin: Connection, copy: Connection, table: Table, column: Column[Any]) -> None:
    (key,) = table.primary_key.columns
    statement = (
        update(table).where(key == bindparam("row")).values({column.name: bindparam("referred")})
    )
    for batch in _batches(origin, [key, column]):
        rows = [
            {"row": row[key.name], "referred": row[column.name]}
            for row in batch
            if row[column.name] is not None
        ]
        if rows:
            copy.execute(statement, rows)


def _advance_sequence(copy: Connection, table: Table) -> None:
    """Have the numbers that PostgreSQL gives to new rows begin after those that were copied."""
    column = table.autoincrement_column
    if column is None:
        return
    sequence = func.pg_get_serial_sequence(table.name, column.name)
    if (highest := copy.scalar(select(func.max(column)))) is not None:
        copy.execute(select(func.setval(sequence, highest)))


def _batches(origin: Connection, columns: list[Column[Any]]) -> Iterator[list[dict[str, Any]]]:
    query = select(*columns).execution_options(yield_per=_ROWS)
    with origin.execute(query) as result:
        for batch in result.mappings().partitions():
            yield [dict(row) for row in batch]
