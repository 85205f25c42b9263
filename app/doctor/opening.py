"""Opens the database for checks, without creating its file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from app.db.engine import Database, parse_url
from app.doctor.findings import CheckContext


class NoDatabaseError(Exception):
    """The file of the database does not exist yet."""


@contextmanager
def opened(context: CheckContext) -> Iterator[Database]:
    """Open the database.

    Raises NoDatabaseError, and SQLAlchemyError if the database cannot be used.
    """
    url = parse_url(context.settings.database_url)
    if url.drivername == "sqlite" and not Path(url.database or "").is_file():
        raise NoDatabaseError(url.database)
    database = Database(context.settings.database_url)
    try:
        yield database
    finally:
        database.close()


def reason(error: SQLAlchemyError) -> str:
    """Return the message of the database in one line, without the statement."""
    return " ".join(str(getattr(error, "orig", None) or error).split())
