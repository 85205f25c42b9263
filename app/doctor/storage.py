"""Checks whether the storage of blobs can be used, and belongs to the database."""

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from app.db.repositories import installation as installation_rows
from app.doctor.findings import CheckContext, Finding, Say
from app.doctor.folders import check_folder
from app.doctor.opening import NoDatabaseError, opened
from app.services.upkeep import ownership
from app.storage import BlobStore, names, open_store

_NOBODY = "It belongs to no database yet"


def check(context: CheckContext) -> Iterator[Finding]:
    """Write, read and delete a probe, and compare the owner of the storage."""
    say, url = Say("storage"), context.settings.storage_url
    help_ = f"Correct the bucket, the AWS_… variables, or ACCRUE_STORAGE, now {url}."
    if "://" not in url:
        help_ = f"Make it writable for this user, or set ACCRUE_STORAGE, now {url}."
        found = list(check_folder(say, Path(url), "ACCRUE_STORAGE"))
        yield from found
        if not Path(url).exists() or any(finding.state == "problem" for finding in found):
            return
        # Opening the store would create a folder in it; a folder that is not ours stays as it is.
        if not any(Path(url, own).exists() for own in (names.INCOMING, names.DOCUMENTS)):
            yield say.ok(_NOBODY)
            return
    try:
        store = open_store(url)
        store.check()
        yield say.ok("A blob can be written and read")
        yield _owner(say, context, store)
    except OSError as error:
        yield say.problem(f"It cannot be used: {error.strerror or error}", help_)


def _owner(say: Say, context: CheckContext, store: BlobStore) -> Finding:
    owner = ownership.owner(store)
    try:
        with opened(context) as database, database.reading() as session:
            own = installation_rows.identity(session)
    except (NoDatabaseError, SQLAlchemyError):
        return say.skipped("Its owner cannot be checked without the database")
    if owner is None:
        return say.ok(_NOBODY)
    if owner == own:
        return say.ok("It belongs to this database")
    return say.problem(
        "It belongs to another database; nothing is deleted from it, and no manifests are written",
        "Correct ACCRUE_DATABASE or ACCRUE_STORAGE. If the database was lost, run "
        "`accrue reindex`.",
    )
