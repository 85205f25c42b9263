"""The storage of blobs: can it be used, and is it this database's."""

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from app.db.repositories import installation as installation_rows
from app.doctor.findings import CheckContext, Finding, Say
from app.doctor.folders import look_at
from app.doctor.opening import NoDatabaseError, opened
from app.services.upkeep import sweeping
from app.storage import BlobStore, names, open_store

_NOBODY = "It is nobody's yet"


def check(context: CheckContext) -> Iterator[Finding]:
    """Write, read and remove something, and ask whose it is."""
    say, url = Say("storage"), context.settings.storage_url
    help_ = f"Mend the bucket, the AWS_… variables, or ACCRUE_STORAGE, now {url}."
    if "://" not in url:
        help_ = f"See to its owner and mode for this user, or set ACCRUE_STORAGE, now {url}."
        found = list(look_at(say, Path(url), "ACCRUE_STORAGE"))
        yield from found
        if not Path(url).exists() or any(finding.state == "problem" for finding in found):
            return
        # Opened, it would get a folder of its own: one that is not ours is left as it is.
        if not any(Path(url, own).exists() for own in (names.INCOMING, names.DOCUMENTS)):
            yield say.ok(_NOBODY)
            return
    try:
        store = open_store(url)
        store.check()
        yield say.ok("What is written there reads back")
        yield _owner(say, context, store)
    except OSError as error:
        yield say.problem(
            f"It cannot be used: {error.strerror or error}",
            help_,
        )


def _owner(say: Say, context: CheckContext, store: BlobStore) -> Finding:
    owner = sweeping.owner(store)
    try:
        with opened(context) as database, database.reading() as session:
            own = installation_rows.identity(session)
    except (NoDatabaseError, SQLAlchemyError):
        return say.skipped("Whose it is, is not known without the database")
    if owner is None:
        return say.ok(_NOBODY)
    if owner == own:
        return say.ok("It belongs to this database")
    return say.problem(
        "It belongs to another database: nothing is removed from it, and no manifests are written",
        "Mend ACCRUE_DATABASE or ACCRUE_STORAGE. If the database was lost, run `accrue reindex`.",
    )
