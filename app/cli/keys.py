"""`accrue keys`: creates, lists and revokes keys, directly in the database."""

import os
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from app.cli import key_file
from app.cli.server import DataDir, make_settings, open_database
from app.client.errors import CommandError
from app.client.text import utc
from app.security import tokens

if TYPE_CHECKING:
    from app.db.engine import Database
    from app.services.access.keys import KeySpec

commands = typer.Typer(
    name="keys", help="Create, list and revoke the keys that requests need.", no_args_is_help=True
)
# Standard output is only for the key.
_say = partial(Console(stderr=True, highlight=False).print, markup=False, soft_wrap=True)


@commands.command()
def create(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of the key.", show_default=False)
    ],
    *,
    scope: Annotated[
        list[str],
        typer.Option(
            metavar="SCOPE",
            help="What it may do: predict, train, metrics, or admin (all); may be repeated.",
            show_default=False,
        ),
    ],
    workspace: Annotated[
        str, typer.Option(help="The only workspace that it can see and change.")
    ] = "default",
    expires_days: Annotated[
        int | None, typer.Option(help="Days until it expires.", show_default="never")
    ] = None,
    images_per_second: Annotated[
        float | None,
        typer.Option(help="Rate limit: predicted images per second, in each API process."),
    ] = None,
    waiting_jobs: Annotated[
        int | None, typer.Option(help="Limit of waiting jobs in its workspace.")
    ] = None,
    stored_megabytes: Annotated[
        int | None, typer.Option(help="Limit of stored megabytes in its workspace.")
    ] = None,
    if_none: Annotated[
        bool,
        typer.Option("--if-none", help="Do nothing if a usable key has these rights already."),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(help="A new file for the key, readable only by you.", show_default="stdout"),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Create a key and show it once. The database stores only its hash."""
    spec = _spec(
        name=name,
        scopes=scope,
        workspace=workspace,
        expires_days=expires_days,
        images_per_second=images_per_second,
        waiting_jobs=waiting_jobs,
        stored_megabytes=stored_megabytes,
    )
    with open_database(make_settings(data_dir=data_dir)) as db:
        _create(db, spec, if_none=if_none, output=output)


def _create(db: "Database", spec: "KeySpec", *, if_none: bool, output: Path | None) -> None:
    from app.services.access import keys  # noqa: PLC0415 - client commands do not wait for it

    if if_none and _is_there(db, spec, output):
        return
    _, token = tokens.new_token()
    left = _left_behind(db, output) if if_none and output is not None else None

    def hand_over() -> None:
        if output is None:
            try:
                print(token, flush=True)
            except OSError as error:
                # Otherwise Python would try to flush the rest at exit.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise CommandError(
                    f"The key could not be printed and was not created: {error.strerror}."
                ) from error
        elif left is None:
            key_file.write_new(output, token)

    try:
        row = keys.create(db, spec, left or token, hand_over)
    except keys.KeyNameTakenError:
        if if_none and _is_there(db, spec, output):  # created by another process meanwhile
            return
        raise CommandError(
            f"There is already a key named {spec.name}. Choose another name, or revoke it first."
        ) from None
    _say(
        f"Created the key {row.name} ({row.id}) for {' and '.join(row.scopes)} in {row.workspace}."
    )
    _say("It will not be shown again." if output is None else f"It is in {output}.")


def _is_there(db: "Database", spec: "KeySpec", output: Path | None) -> bool:
    """Return whether a usable key has these rights already, and tell the user about it."""
    from app.services.access import keys  # noqa: PLC0415 - client commands do not wait for it

    found = keys.find_usable(db, spec)
    if found is None:
        return False
    _say(f"The key {found.name} ({found.id}) exists already; nothing to do.")
    if output is not None and not output.exists():
        _say(f"It is not in {output}. If it is lost, revoke it and run this again.")
    return True


def _left_behind(db: "Database", output: Path) -> str | None:
    """Return a key in the file that the database does not know: an earlier run was interrupted.

    A file whose key was revoked or has expired is deleted.
    """
    from app.services.access import keys  # noqa: PLC0415 - client commands do not wait for it

    token = key_file.read_own(output)
    key_id = tokens.id_of(token) if token is not None else None
    if key_id is None:
        return None
    state = keys.state_of(db, key_id)
    if state in ("revoked", "expired"):
        output.unlink()
        _say(f"The key in {output} was revoked or has expired; the file is replaced.")
    return token if state is None else None


@commands.command("list")
def show(data_dir: DataDir = None) -> None:
    """List the keys, what each may do, and when it was last used."""
    from app.services.access import keys  # noqa: PLC0415 - client commands do not wait for it

    with open_database(make_settings(data_dir=data_dir)) as db:
        rows = keys.every(db)
    if not rows:
        print("There are no keys yet. `accrue keys create` makes one.")
        return
    table = Table(box=None, header_style="dim")
    for column in (
        *("id", "name", "workspace", "scopes", "state"),
        *("created (UTC)", "expires (UTC)", "last used (UTC)"),
    ):
        table.add_column(column, no_wrap=column in ("id", "name"), overflow="fold")
    for row in rows:
        table.add_row(
            row.id,
            row.name,
            row.workspace,
            " ".join(row.scopes),
            keys.state(row, datetime.now(UTC)),
            _minute(row.created_at),
            _minute(row.expires_at),
            _minute(row.last_used_at),
        )
    # Programs get whole lines.
    Console(highlight=False, width=None if sys.stdout.isatty() else 300).print(table)


@commands.command()
def revoke(
    key: Annotated[
        str, typer.Argument(metavar="ID_OR_NAME", help="The key's id or name.", show_default=False)
    ],
    data_dir: DataDir = None,
) -> None:
    """Revoke a key permanently; it is refused within five seconds."""
    from app.services.access import keys  # noqa: PLC0415 - client commands do not wait for it

    with open_database(make_settings(data_dir=data_dir)) as db:
        try:
            row = keys.revoke(db, key)
        except keys.KeyNotFoundError:
            raise CommandError(
                f"There is no key with the id or name {key}. `accrue keys list` shows all."
            ) from None
    print(f"{row.name} ({row.id}) is revoked since {_minute(row.revoked_at)} UTC.")


def _spec(**given: object) -> "KeySpec":
    from pydantic import ValidationError  # noqa: PLC0415 - client commands do not wait for it

    from app.services.access.keys import KeySpec  # noqa: PLC0415

    try:
        return KeySpec.model_validate(given)
    except ValidationError as error:
        lines = [
            f"  {e['loc'][0]}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors()
        ]
        raise CommandError("\n".join(["The key cannot be created:", *lines])) from None


def _minute(moment: datetime | None) -> str:
    return "-" if moment is None else utc(moment)[:-3]
