"""The commands for maintaining the storage: sweep, reindex."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from app import logs
from app.cli.server import DataDir, make_settings, migrate_database, open_database
from app.client.errors import CommandError
from app.settings import Settings


def sweep(
    data_dir: DataDir = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be deleted.")
    ] = False,
) -> None:
    """Delete what nothing refers to from the storage. The service does so every hour."""
    # Imported here: client commands do not wait for it.
    from app.services.upkeep import ownership, sweeping  # noqa: PLC0415

    settings = make_settings(data_dir=data_dir)
    with opened(settings) as (database, store):
        try:
            swept = sweeping.sweep(database, store, settings, dry_run=dry_run)
        except ownership.ForeignStorageError as error:
            raise CommandError(str(error)) from error
    print(
        f"{'Would remove' if dry_run else 'Removed'} {swept.blobs} blobs "
        f"({swept.bytes / 10**6:.1f} MB) and {swept.unfinished_writes} unfinished writes."
    )
    if swept.versions or swept.uploads:
        print(f"Retention ended for {swept.versions} versions and {swept.uploads} uploads.")
    if swept.undeleted:
        raise CommandError(
            f"{swept.undeleted} blobs that nothing needs could not be deleted: {swept.error}. "
            "Let this user delete there, and sweep again."
        )


def reindex(
    data_dir: DataDir = None,
    merge: Annotated[
        bool, typer.Option(help="Add what is missing to a database that is not empty.")
    ] = False,
) -> None:
    """Rebuild a lost database from the storage. Stop the service first."""
    from app.services.upkeep import reindexing  # noqa: PLC0415 - client commands do not wait for it

    settings = make_settings(data_dir=data_dir)
    migrate_database(settings)
    with opened(settings) as (database, store):
        try:
            result = reindexing.reindex(database, store, merge=merge)
        except reindexing.DatabaseNotEmptyError as error:
            raise CommandError(
                "The database is not empty. Pass --merge to add the classifiers that it lacks."
            ) from error
    for problem in result.problems:
        print(f"warning: {problem}")
    names = ", ".join(result.classifiers) or "none"
    print(f"{result.versions} versions of {len(result.classifiers)} classifiers: {names}.")


@contextmanager
def opened(settings: Settings) -> Iterator[tuple[Any, Any]]:
    """Open the database and the storage. Raises CommandError if one of them cannot be used."""
    from app.storage import open_store  # noqa: PLC0415 - client commands do not wait for it

    logs.configure(settings.log_level)
    try:
        with open_database(settings) as database:
            yield database, open_store(settings.storage_url)
    except OSError as error:
        what = error.strerror or error
        raise CommandError(f"{settings.storage_url} cannot be used: {what}.") from error
