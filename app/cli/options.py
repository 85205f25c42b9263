"""Arguments and options that several client commands take."""

import os
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from app.client.client import DEFAULT_URL, Client
from app.client.errors import CommandError
from app.security import tokens

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the classifier.", show_default=False)
]
Url = Annotated[str, typer.Option(envvar="ACCRUE_URL", help="Where the server listens.")]
# A key itself is no option: others on the machine see the command line.
KeyFile = Annotated[
    Path | None,
    typer.Option(
        envvar="ACCRUE_KEY_FILE",
        help="File with the key to send, where the server wants one. Or put it into ACCRUE_KEY.",
    ),
]

Options = Annotated[
    list[str] | None,
    typer.Option(
        "--options",
        "-o",
        metavar="KEY=VALUE",
        help="Option of the method, such as epochs=20; may be repeated. A new classifier keeps "
        "it, one that exists takes it for this step.",
    ),
]

__all__ = ["DEFAULT_URL", "KeyFile", "Name", "Options", "Url", "connect", "parse_options"]


def connect(url: str, key_file: Path | None) -> Client:
    """Return a client with the key of the file, else that of ACCRUE_KEY, else none."""
    if key_file is None:
        return Client(url, _checked(os.environ.get("ACCRUE_KEY") or None, "ACCRUE_KEY holds"))
    try:
        key = key_file.read_text("ascii", errors="replace").strip()
    except OSError as error:
        raise CommandError(f"Cannot read the key in {key_file}: {error.strerror}.") from error
    return Client(url, _checked(key, f"{key_file} holds"))


def _checked(key: str | None, where: str) -> str | None:
    if key is not None and tokens.id_of(key.strip()) is None:
        raise CommandError(f"{where} no key: one looks like acr_….")
    return key and key.strip()


def parse_options(pairs: list[str]) -> dict[str, Any]:
    """Read KEY=VALUE pairs; a value is JSON where it can be, else text."""
    parsed = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise CommandError(f"--options takes KEY=VALUE, not {pair!r}.")
        try:
            parsed[key] = orjson.loads(value)
        except orjson.JSONDecodeError:
            parsed[key] = value
    return parsed
