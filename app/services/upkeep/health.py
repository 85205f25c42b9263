"""Health check: whether the database, the storage and the queue answer."""

from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from app.db.damage import DamageMetError
from app.db.engine import Database
from app.db.repositories import classifiers as classifier_rows
from app.db.tables import DEFAULT_WORKSPACE
from app.services.queue.messages import BrokerUnavailableError, Messages
from app.services.upkeep.inspector import DAMAGED
from app.storage import BlobStore


def failures(db: Database, store: BlobStore, queue: Messages) -> dict[str, str]:
    """Return the parts that do not answer, each with the kind of its error."""
    checks: dict[str, Callable[[], None]] = {
        "database": lambda: _check_database(db),
        "storage": store.check,
        "queue": queue.check,
    }
    found = {}
    for name, check in checks.items():
        try:
            check()
        except DamageMetError:
            found[name] = DAMAGED
        except (SQLAlchemyError, OSError, BrokerUnavailableError) as error:
            # The kind only: messages of drivers hold addresses and user names.
            found[name] = type(error).__name__
    return found


def _check_database(db: Database) -> None:
    # Reads a table: a database without our schema is not ready either.
    with db.reading() as session:
        classifier_rows.page(session, DEFAULT_WORKSPACE, limit=1, after=None)
