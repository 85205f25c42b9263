"""Ownership of the storage: the one database whose blobs it has. No other database may sweep it."""

import orjson
import structlog

from app.db.engine import Database
from app.db.repositories import installation as installation_rows
from app.storage import BlobStore

_IDENTITY = "installation.json"

log = structlog.get_logger(__name__)


class ForeignStorageError(Exception):
    """The storage belongs to another database, which may need blobs that this one does not know."""

    def __init__(self) -> None:
        super().__init__(
            "The storage belongs to another database, or this database was lost and created again. "
            "Nothing is deleted from the storage. `accrue reindex` makes it this database's."
        )


def check(db: Database, store: BlobStore) -> None:
    """Take over a storage that belongs to no database. Raises ForeignStorageError."""
    with db.reading() as session:
        own = installation_rows.identity(session)
    if own is None:
        with db.transaction() as session:
            own = installation_rows.ensure_identity(session, db.now(session))
    found = owner(store)
    if found is None:
        take_over(db, store)
    elif found != own:
        raise ForeignStorageError


def owner(store: BlobStore) -> str | None:
    """Return the identity of the database that the storage belongs to, None if to none.

    An unreadable identity is returned as ``unreadable``, which no database has: the storage may
    belong to another one.
    """
    document = store.read_document(_IDENTITY)
    if document is None:
        return None
    try:
        return str(orjson.loads(document)["database"])
    except (ValueError, KeyError, TypeError):
        log.warning("storage_identity_unreadable", document=_IDENTITY)
        return "unreadable"


def take_over(db: Database, store: BlobStore) -> None:
    """Make the storage this database's, whichever it belonged to."""
    with db.transaction() as session:
        own = installation_rows.ensure_identity(session, db.now(session))
    store.write_document(_IDENTITY, orjson.dumps({"format": 1, "database": own}))
