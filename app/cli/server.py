"""The commands that run the service: up, serve, worker, migrate."""

import contextlib
import errno
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import httpx
import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError
from rich.console import Console
from setproctitle import setproctitle

from app import starting
from app.cli.supervisor import Child, Supervisor
from app.client.errors import CommandError
from app.security.addresses import is_loopback
from app.settings import Settings

if TYPE_CHECKING:
    from app.db.engine import Database

# -P keeps a folder named app or worker in the user's current directory from being imported.
_PYTHON = (sys.executable, "-P", "-m")
_PROBE_SECONDS = 0.5

Host = Annotated[
    str | None, typer.Option(help="Address to listen on (ACCRUE_HOST).", show_default="127.0.0.1")
]
Port = Annotated[
    int | None,
    typer.Option(help="Port; 0 chooses a free one (ACCRUE_PORT).", show_default="8000"),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Folder of database, blobs and queue (ACCRUE_DATA_DIR).", show_default="accrue-data"
    ),
]


def up(host: Host = None, port: Port = None, data_dir: DataDir = None) -> None:
    """Run everything on this machine: database, API and worker, until Ctrl-C."""
    setproctitle("accrue up")
    settings = make_settings(host=host, port=port, data_dir=data_dir)
    _require_keys_or_loopback(settings)
    # The supervisor binds the port, so that requests wait while the API is restarted. It does so
    # before it migrates, so that a second `up` on the port does not touch the database.
    with _listen(settings.host, settings.port) as listener:
        console = Console(stderr=True, highlight=False)
        console.print("Migrating the database.")
        migrate_database(settings)
        _require_storage(settings)
        console.print("The database has the newest schema, and the storage can be used.")
        url = _url(settings.host, listener.getsockname()[1])
        announcement = _Announcement(url, settings.data_dir)
        supervisor = Supervisor(
            children=[
                Child(
                    "API",
                    [*_PYTHON, "app.cli", "serve", "--socket", str(listener.fileno())],
                    sockets=[listener.fileno()],
                ),
                Child("worker", [*_PYTHON, "worker"]),
            ],
            environment=_environment(settings),
            say=console.print,
            tick=announcement.make_once_answered,
        )
        status = supervisor.run()
    raise typer.Exit(status)


def serve(
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    inherited: Annotated[
        int | None, typer.Option("--socket", hidden=True, help="File descriptor to listen on.")
    ] = None,
) -> None:
    """Run the API alone. Run `accrue migrate` before it, and `accrue worker` beside it."""
    setproctitle("accrue api")
    settings = make_settings(host=host, port=port, data_dir=data_dir)
    _require_keys_or_loopback(settings)
    _require_storage(settings, now=False)

    starting.say("is loading PyTorch")
    from app.cli import api_process  # noqa: PLC0415 - loads PyTorch
    from app.inference.devices import DeviceMissingError, predict_device  # noqa: PLC0415

    try:
        predict_device(settings)
    except DeviceMissingError as error:
        raise CommandError(str(error)) from error
    listener = (
        _listen(settings.host, settings.port)
        if inherited is None
        else socket.socket(fileno=inherited)
    )
    with listener, contextlib.suppress(KeyboardInterrupt):
        api_process.make_server(settings).run(sockets=[listener])


def worker(data_dir: DataDir = None) -> None:
    """Run one worker, which runs jobs one after another."""
    settings = make_settings(data_dir=data_dir)
    _require_storage(settings, now=False)
    command = [*_PYTHON, "worker"]
    os.execve(sys.executable, command, _environment(settings))  # noqa: S606 - our own command


def migrate(data_dir: DataDir = None) -> None:
    """Migrate the database to the newest schema."""
    migrate_database(make_settings(data_dir=data_dir))


def make_settings(**given: Any) -> Settings:
    """Return the settings of the environment, overridden by options other than None.

    Raises CommandError if a setting is invalid.
    """
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        lines = [_setting_refused(e["loc"], e["msg"]) for e in error.errors()]
        raise CommandError("\n".join(["These settings are invalid:", *lines])) from error
    except SettingsError as error:
        why = error.__cause__
        reason = why.strerror if isinstance(why, OSError) else "it has the wrong format"
        raise CommandError(f"A file with a setting cannot be read: {error}: {reason}.") from error


def _setting_refused(location: tuple[int | str, ...], message: str) -> str:
    said = message.removeprefix("Value error, ")
    # An error about several settings together has no location.
    return f"  ACCRUE_{'_'.join(map(str, location)).upper()}: {said}" if location else f"  {said}"


def _environment(settings: Settings) -> dict[str, str]:
    """Return the environment of a child: that of this process, with the options."""
    return os.environ | {
        "ACCRUE_HOST": settings.host,
        "ACCRUE_PORT": str(settings.port),
        "ACCRUE_DATA_DIR": str(settings.data_dir.absolute()),
    }


def migrate_database(settings: Settings) -> None:
    """Migrate the database to the newest schema. Raises CommandError if that is not possible."""
    from alembic.util import CommandError as UnknownRevisionError  # noqa: PLC0415
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - client commands do not wait for it

    import migrations  # noqa: PLC0415

    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(
            f"{settings.data_dir} cannot be the data folder: {error.strerror}. Choose another "
            "with --data-dir."
        ) from error
    try:
        migrations.upgrade(settings.database_url)
    except SQLAlchemyError as error:
        raise CommandError(_database_refused(settings, error)) from error
    except UnknownRevisionError as error:
        raise CommandError(
            f"The database {_shown(settings)} has the schema "
            f"{migrations.current(settings.database_url)}, which this version of Accrue does not "
            "know: a newer one has migrated it. Run that one, or restore the backup from before "
            "the upgrade."
        ) from error


@contextlib.contextmanager
def open_database(settings: Settings) -> Iterator["Database"]:
    """Open the database. Raises CommandError if it cannot be used."""
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - client commands do not wait for it

    from app.db.damage import DamageMetError  # noqa: PLC0415
    from app.db.engine import Database  # noqa: PLC0415

    try:
        with contextlib.closing(Database(settings.database_url)) as database:
            yield database
    except DamageMetError as error:
        raise CommandError(_database_refused(settings, error)) from error
    except SQLAlchemyError as error:
        raise CommandError(
            f"{_database_refused(settings, error)}\n`accrue migrate` creates its tables."
        ) from error


def _database_refused(settings: Settings, error: Exception) -> str:
    """Return the message that the database cannot be used."""
    from app.db.damage import DamageMetError  # noqa: PLC0415 - client commands do not wait for it

    cause = getattr(error, "orig", None) or error
    if isinstance(error, DamageMetError):
        return (
            f"The database {_shown(settings)} is damaged: {cause}. Stop the service and put a "
            "backup in place with `accrue restore --replace`. Without one, `accrue reindex` fills "
            "an empty database from the storage."
        )
    return f"The database {_shown(settings)} cannot be used: {cause}."


def _shown(settings: Settings) -> str:
    """Return the URL of the database without its password."""
    from app.db.engine import parse_url  # noqa: PLC0415 - client commands do not wait for it

    # The query may hold a password too.
    return parse_url(settings.database_url).set(query={}).render_as_string()


def _require_storage(settings: Settings, *, now: bool = True) -> None:
    """Raise CommandError if the storage cannot be used.

    With `now=False`, only for errors that do not go away: the API and workers wait for a storage
    that does not answer yet, as for the database.
    """
    from app.storage import open_store  # noqa: PLC0415 - client commands do not wait for it

    try:
        open_store(settings.storage_url).check()
    except OSError as error:
        if now or error.errno in (errno.EACCES, errno.ENOENT):
            raise CommandError(
                f"{settings.storage_url} cannot hold the images and versions: "
                f"{error.strerror or error}."
            ) from error


def _require_keys_or_loopback(settings: Settings) -> None:
    """Raise CommandError if other machines could reach a service without keys."""
    host = settings.host
    try:
        allowed = settings.keys == "required" or is_loopback(host)
    except OSError as error:
        raise CommandError(
            f"{host} is not an address of this machine: {error.strerror}.\n"
            "Correct --host or ACCRUE_HOST."
        ) from error
    if not allowed:
        raise CommandError(
            f"Refusing to listen on {host}: keys are off, so anybody who can reach the service "
            "could do everything.\n"
            "Set ACCRUE_KEYS=required and create a key with `accrue keys create`, or listen on a "
            "loopback address (127.0.0.1)."
        )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise CommandError(
            f"Cannot listen on {host} port {port}: {error.strerror}. Choose another port or "
            "address."
        ) from error


def url_of(settings: Settings) -> str:
    """Return the URL at which this machine reaches a service with these settings."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    return _url(host, settings.port)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Announcement:
    """Prints the URL of the service once it answers."""

    def __init__(self, url: str, data_dir: Path) -> None:
        self._url = url
        self._data_dir = data_dir
        self._made = False

    def make_once_answered(self) -> None:
        if self._made:
            return
        try:
            # Without the proxy of the environment, which cannot reach the loopback address.
            answer = httpx.get(f"{self._url}/health/live", timeout=_PROBE_SECONDS, trust_env=False)
            answer.raise_for_status()
        except httpx.HTTPError:
            return
        self._made = True
        print(
            f"Accrue listens on {self._url} (interactive documentation: {self._url}/docs).\n"
            f"Its data is in {self._data_dir}. Ctrl-C stops it.",
            flush=True,
        )
