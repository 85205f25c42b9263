"""The database: one engine a process, transactions that commit or roll back as a whole."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, func, make_url, select
from sqlalchemy.exc import (
    ArgumentError,
    InterfaceError,
    InternalError,
    OperationalError,
    TimeoutError as PoolTimeoutError,
)
from sqlalchemy.orm import ORMExecuteState, Session

# What is raised where the database is away, locked, overloaded, or chose this transaction as the
# victim of a deadlock or as one that cannot be serialised. Another time the same may succeed.
UNAVAILABLE = (OperationalError, InterfaceError, InternalError, PoolTimeoutError)

# What URLs may begin with, and the driver that is meant.
_DRIVERS = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}

# How long a writer waits for another before it gives up, on both kinds. A client waits no longer
# for an answer, and a worker tries again for as long as its lease lasts.
LOCK_TIMEOUT_SECONDS = 15

# A connection for each thread that may ask at once would be 40 a process. Half of them wait for a
# moment in a burst, and five API processes stay below PostgreSQL's own limit of 100 connections.
_POOL = {"pool_size": 5, "max_overflow": 15, "pool_timeout": 10}
# A server that does not answer is noticed well within a worker's lease of 60 seconds, whether a
# connection is being made (seconds), or something was sent (milliseconds), or is awaited.
_CONNECTION = {
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    # Whatever the database's own encoding is; of SQL_ASCII the driver would give bytes for text.
    "client_encoding": "utf8",
}
# What the server is told of each session.
_SESSION = {
    # No statement of ours takes a tenth of it: one that does is stuck, and holds up others.
    "statement_timeout": "60s",
    "lock_timeout": f"{LOCK_TIMEOUT_SECONDS}s",
    # A process that hangs gives its locks back. Within transactions only the storage is waited for.
    "idle_in_transaction_session_timeout": "300s",
    # So does one whose host is gone, which nobody would tell the server.
    "tcp_user_timeout": "30s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}


def parse_url(url: str) -> URL:
    """Return a database's URL in parts: ``sqlite:///…`` or ``postgresql://…``.

    Raises ArgumentError, which does not repeat it: a password may be in any part.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the second for a port
        parsed = None
    if parsed is None or parsed.drivername not in _DRIVERS:
        raise ArgumentError("no URL such as postgresql://user@host:5432/name or sqlite:///file")
    return parsed.set(drivername=_DRIVERS[parsed.drivername])


def make_engine(url: str) -> Engine:
    """Return an engine for a URL that `parse_url` takes, or raise its ArgumentError.

    The engine's errors, which are logged, name no values: secrets of webhooks would be among them.
    """
    parsed = parse_url(url)
    return _sqlite_engine(parsed) if parsed.drivername == "sqlite" else _postgres_engine(parsed)


def _postgres_engine(url: URL) -> Engine:
    # What the URL says of connections goes before what is said here.
    connection = {name: value for name, value in _CONNECTION.items() if name not in url.query}
    engine = create_engine(
        url,
        # A connection that the server dropped is replaced, not handed to a request.
        pool_pre_ping=True,
        connect_args=connection,
        hide_parameters=True,
        **_POOL,
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        # By statement and not as an option of the connection, which poolers refuse. Outside a
        # transaction, or the first rollback would undo it.
        connection.autocommit = True
        connection.execute("; ".join(f"SET {name} = '{value}'" for name, value in _SESSION.items()))
        connection.autocommit = False

    return engine


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(
        url,
        connect_args={"timeout": LOCK_TIMEOUT_SECONDS, "check_same_thread": False},
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        # The driver's own implicit BEGIN is deferred; ours (below) says which kind it wants.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer takes the lock at once: upgrading a read lock later would fail without waiting.
        writes = connection.get_execution_options().get("accrue_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


class _Session(Session):
    """A session in which UPDATE and DELETE statements do not search the objects it has loaded."""


@event.listens_for(_Session, "do_orm_execute")
def _leave_loaded_objects(execution: ORMExecuteState) -> None:
    if execution.is_update or execution.is_delete:
        execution.update_execution_options(synchronize_session=False)


class Database:
    """Sessions over one engine. Services open transactions; repositories never commit."""

    def __init__(self, url: str) -> None:
        self.engine = make_engine(url)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Commit all that happens inside, or nothing of it."""
        writing = self.engine.execution_options(accrue_writes=True)
        with _Session(writing, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a session that only reads: one consistent view, no write lock."""
        with _Session(self.engine, expire_on_commit=False) as session:
            yield session

    def now(self, session: Session) -> datetime:
        """Return the database's own clock, so that leases do not depend on hosts agreeing."""
        if self.engine.dialect.name == "sqlite":
            return datetime.now(UTC)
        moment = session.scalar(select(func.clock_timestamp()))
        assert isinstance(moment, datetime)  # noqa: S101 - narrows the type
        return moment

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()
