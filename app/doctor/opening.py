"""The database, for checks that only look: nothing is made that is not there."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from app.db.engine import Database
from app.doctor.findings import Installation


class NoDatabaseError(Exception):
    """The file of the database is not there yet."""


@contextmanager
def opened(installation: Installation) -> Iterator[Database]:
    """Open the database. Raises NoDatabaseError, and SQLAlchemyError when it cannot be used."""
    url = make_url(installation.settings.database_url)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        raise NoDatabaseError(url.database)
    try:
        database = Database(installation.settings.database_url)
    except ModuleNotFoundError as error:  # a driver that is not installed
        raise SQLAlchemyError(str(error)) from error
    try:
        yield database
    finally:
        database.close()


def reason(error: SQLAlchemyError) -> str:
    """Return what a database said, in a line and without the statement."""
    return " ".join(str(getattr(error, "orig", None) or error).split())
