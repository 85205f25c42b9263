"""The database: one engine in each process, transactions that commit or roll back as a whole."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, func, make_url, select
from sqlalchemy.exc import (
    ArgumentError,
    InterfaceError,
    InternalError,
    OperationalError,
    TimeoutError as PoolTimeoutError,
)
from sqlalchemy.orm import ORMExecuteState, Session, SessionTransaction

from app.db.damage import name_damage
from app.db.sqlite_file import SQLiteFile

# Raised where the database is unreachable, locked or overloaded, or rolled this transaction back
# because of a deadlock or a serialisation failure. The same may succeed later.
UNAVAILABLE = (OperationalError, InterfaceError, InternalError, PoolTimeoutError)

# The schemes of URLs that are accepted, and their drivers.
_DRIVERS = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}

# How long a writer waits for a lock, on both databases. A request fails after that; a worker tries
# again while its lease lasts.
LOCK_TIMEOUT_SECONDS = 15

# Under which a connection of SQLite, and the session that uses it, have a function that raises
# DatabaseReplacedError where the connection's files are gone.
_CHECK_FILES = "accrue_check_files"

# Up to 40 threads of a process query. With half as many connections some threads wait for a moment
# in a burst, but five API processes stay below PostgreSQL's default limit of 100 connections.
_POOL = {"pool_size": 5, "max_overflow": 15, "pool_timeout": 10}
# A server that does not answer is detected well within a worker's lease of 60 seconds: while
# connecting (seconds), after sending (milliseconds) and while waiting (keepalives).
_CONNECTION = {
    "connect_timeout": 5,
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    # Regardless of the database's encoding: for SQL_ASCII the driver would return bytes, not text.
    "client_encoding": "utf8",
}
# Parameters of each session on the server.
_SESSION = {
    # Ten times what our slowest statement takes: a longer one is stuck and blocks others.
    "statement_timeout": "60s",
    "lock_timeout": f"{LOCK_TIMEOUT_SECONDS}s",
    # Locks of a process that hangs are released. Healthy transactions wait for the storage only.
    "idle_in_transaction_session_timeout": "300s",
    # So are locks of a process whose host is gone.
    "tcp_user_timeout": "30s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}
# With the schema: several installations may share a database, each in its own.
_NAME = "SELECT set_config('application_name', concat('accrue ', current_schema()), false)"


def parse_url(url: str) -> URL:
    """Parse a database's URL: ``sqlite:///…`` or ``postgresql://…``.

    Raises ArgumentError, whose text does not repeat the URL: any part may hold a password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the second for a port
        parsed = None
    if parsed is None or parsed.drivername not in _DRIVERS:
        raise ArgumentError("not a URL like postgresql://user@host:5432/name or sqlite:///file")
    return parsed.set(drivername=_DRIVERS[parsed.drivername])


def make_engine(url: str) -> Engine:
    """Return an engine for a URL that `parse_url` accepts. Raises ArgumentError.

    The engine's errors are logged, so they leave out parameters: webhook secrets are among these.
    """
    parsed = parse_url(url)
    sqlite = parsed.drivername == "sqlite"
    engine = _sqlite_engine(parsed) if sqlite else _postgres_engine(parsed)
    name_damage(engine)
    return engine


def _postgres_engine(url: URL) -> Engine:
    # Options in the URL take precedence.
    connection = {name: value for name, value in _CONNECTION.items() if name not in url.query}
    engine = create_engine(
        url,
        # Replace a connection that the server dropped before a request gets it.
        pool_pre_ping=True,
        connect_args=connection,
        hide_parameters=True,
        **_POOL,
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        # Not as an option of the connection, which poolers refuse, and outside a transaction, as
        # the first rollback would undo it.
        connection.autocommit = True
        connection.execute("; ".join(f"SET {name} = '{value}'" for name, value in _SESSION.items()))
        if "application_name" not in url.query:
            connection.execute(_NAME)
        connection.autocommit = False

    return engine


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(
        url,
        connect_args={"timeout": LOCK_TIMEOUT_SECONDS, "check_same_thread": False},
        hide_parameters=True,
    )

    # None for a database in memory.
    file = SQLiteFile(url.database) if url.database not in (None, "", ":memory:") else None

    @event.listens_for(engine, "do_connect")
    def check_before_opening(*_given: Any) -> None:
        if file is not None:
            file.check_before_opening()

    @event.listens_for(engine, "connect")
    def configure(connection: Any, record: Any) -> None:
        # Turn off the driver's implicit BEGIN, which is always deferred; see `begin` below.
        connection.isolation_level = None
        cursor = connection.cursor()
        # With a write-ahead log, readers and the writer do not block each other.
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA schema_version").fetchall()  # reads, so that all files are open
        cursor.close()
        if file is not None:
            record.info[_CHECK_FILES] = partial(file.check, file.opened())

    @event.listens_for(engine, "checkout")
    def check_files(_connection: Any, record: Any, _proxy: Any) -> None:
        if check := record.info.get(_CHECK_FILES):
            check()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer takes the write lock at once: upgrading a read lock would fail without waiting.
        writes = connection.get_execution_options().get("accrue_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


class _Session(Session):
    """A session in which UPDATE and DELETE statements do not search the objects it has loaded."""


@event.listens_for(_Session, "after_begin")
def _remember_files(session: Session, _begun: SessionTransaction, connection: Connection) -> None:
    session.info[_CHECK_FILES] = connection.info.get(_CHECK_FILES)


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
        """Open a session that commits everything done in it, or rolls everything back.

        Raises DatabaseReplacedError also after the commit: then it may be in a file that is gone.
        """
        writing = self.engine.execution_options(accrue_writes=True)
        with _Session(writing, expire_on_commit=False) as session:
            with session.begin():
                yield session
            if check := session.info.get(_CHECK_FILES):
                check()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a session that only reads: a consistent view without a write lock."""
        with _Session(self.engine, expire_on_commit=False) as session:
            yield session

    def now(self, session: Session) -> datetime:
        """Return the time of the database's clock: leases must not depend on hosts' clocks."""
        if self.engine.dialect.name == "sqlite":
            return datetime.now(UTC)
        moment = session.scalar(select(func.clock_timestamp()))
        assert isinstance(moment, datetime)  # noqa: S101 - narrows the type
        return moment

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()
