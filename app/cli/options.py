"""Arguments and options that several client commands take."""

from typing import Annotated, Any

import orjson
import typer

from app.cli.client import DEFAULT_URL
from app.cli.errors import CommandError

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the classifier.", show_default=False)
]
Url = Annotated[str, typer.Option(envvar="ACCRUE_URL", help="Where the server listens.")]

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

__all__ = ["DEFAULT_URL", "Name", "Options", "Url", "parse_options"]


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
