"""Arguments and options that several client commands take."""

from typing import Annotated

import typer

from app.cli.client import DEFAULT_URL

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the classifier.", show_default=False)
]
Url = Annotated[str, typer.Option(envvar="ACCRUE_URL", help="Where the server listens.")]

__all__ = ["DEFAULT_URL", "Name", "Url"]
