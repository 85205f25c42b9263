"""Alembic's environment: every command is one transaction, one process migrates at a time."""

from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection

from app.db.engine import make_engine
from app.db.tables import Base
from app.db.tables.base import UTCDateTime

# An arbitrary number that all migrating processes share.
_ADVISORY_LOCK = 4_271_964


def _take_turns(connection: Connection) -> None:
    """Wait for other processes that migrate the same database."""
    if connection.dialect.name == "postgresql":
        # Unlike the service's statements, migrations may wait long and take long.
        for limit in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            connection.exec_driver_sql(f"SET LOCAL {limit} = 0")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")


def _plain_type(_kind: str, item: Any, _context: Any) -> str | Literal[False]:
    """Write our types in new migrations as what databases have: migrations outlive our classes."""
    return "sa.DateTime(timezone=True)" if isinstance(item, UTCDateTime) else False


def _run(url: str) -> None:
    engine = make_engine(url).execution_options(accrue_writes=True)
    try:
        with engine.connect() as connection:
            sqlite = connection.dialect.name == "sqlite"
            if sqlite:
                # Batch mode drops and renames tables, which must not cascade to their children.
                # The pragma has no effect in a transaction, so it is sent before one begins.
                raw = connection.connection.dbapi_connection
                assert raw is not None  # noqa: S101 - narrows the type
                raw.cursor().execute("PRAGMA foreign_keys=OFF")
            with connection.begin():
                _take_turns(connection)
                context.configure(
                    connection=connection,
                    target_metadata=Base.metadata,
                    render_as_batch=sqlite,
                    compare_type=True,
                    render_item=_plain_type,
                )
                context.run_migrations()
    finally:
        engine.dispose()


_run(context.config.attributes["url"])
