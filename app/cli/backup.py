"""`accrue backup` and `accrue restore`: a copy of database and storage, and its way back."""

from pathlib import Path
from typing import Annotated

import typer

from app import logs
from app.cli.server import DataDir, make_settings
from app.cli.storage import opened
from app.client.errors import CommandError

_SHOWN = 20

Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help="Folder of the backup.", show_default=False)
]


def backup(folder: Folder, data_dir: DataDir = None) -> None:
    """Copy database and storage into a folder, while the service runs. Exit status 1: damage."""
    from app.services.upkeep import backup as backups  # noqa: PLC0415 - client commands do not wait

    settings = make_settings(data_dir=data_dir)
    with opened(settings) as (database, store):
        try:
            made = backups.make(database, store, folder)
        except backups.NotABackupError as error:
            raise CommandError(
                f"{folder} has files that are not a backup. Choose another folder, or an empty one."
            ) from error
        except backups.BackupRunningError as error:
            raise CommandError(
                f"Another `accrue backup` into {folder} is running. Wait until it has ended."
            ) from error
        except backups.DatabaseDamagedError as error:
            raise CommandError(
                f"The database is damaged, so there is no new backup: {error}. "
                "Restore an earlier one."
            ) from error
    print(f"{made.blobs} blobs ({made.bytes / 10**6:.1f} MB) and the database are in {folder}.")
    if made.problems:
        raise CommandError(
            "The storage has lost these, or holds them damaged, so the backup lacks them:\n"
            + _listed(made.problems)
        )


def restore(
    folder: Folder,
    *,
    data_dir: DataDir = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a database that is there.")
    ] = False,
    incomplete: Annotated[
        bool, typer.Option("--incomplete", help="Restore a backup that lacks blobs.")
    ] = False,
) -> None:
    """Check a backup and put it in place. Stop the service first."""
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - client commands do not wait for it

    from app.services.upkeep import restoration  # noqa: PLC0415
    from app.services.upkeep.backup import DatabaseDamagedError  # noqa: PLC0415
    from app.services.upkeep.in_use import InUseError  # noqa: PLC0415

    settings = make_settings(data_dir=data_dir)
    logs.configure(settings.log_level)
    try:
        done = restoration.restore(folder, settings, replace=replace, incomplete=incomplete)
    except restoration.NoBackupError as error:
        raise CommandError(
            f"{folder} has no finished backup. `accrue backup` makes one."
        ) from error
    except DatabaseDamagedError as error:
        raise CommandError(
            f"The database of the backup is damaged, and nothing was changed: {error}."
        ) from error
    except restoration.IncompleteBackupError as error:
        raise CommandError(
            "Nothing was changed: blobs of the backup are missing or damaged. They are needed by\n"
            f"{_listed(error.args)}\nTake another backup, or pass --incomplete."
        ) from error
    except restoration.NotEmptyError as error:
        raise CommandError(
            f"Nothing was changed: {error} is not empty. Choose another place with --data-dir, or "
            "pass --replace."
        ) from error
    except InUseError as error:
        raise CommandError(
            f"The database was not touched, because it is in use: {error}. Stop the service (API "
            "and workers, on every machine), then restore again."
        ) from error
    except (OSError, SQLAlchemyError) as error:
        raise CommandError(f"The backup cannot be restored: {error}.") from error
    if done.moved_to is not None:
        print(f"The database that was there is now {done.moved_to}.")
    print(f"The database and {done.blobs} blobs are in place. Start the service.")


def _listed(lines: "list[str] | tuple[str, ...]") -> str:
    shown = [f"  {line}" for line in lines[:_SHOWN]]
    if len(lines) > _SHOWN:
        shown.append(f"  and {len(lines) - _SHOWN} more")
    return "\n".join(shown)
