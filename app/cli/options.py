"""Arguments and options that several client commands share."""

import os
from enum import StrEnum
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
Url = Annotated[str, typer.Option(envvar="ACCRUE_URL", help="URL of the server.")]
# The key itself is not an option: other users of the machine can see command lines.
KeyFile = Annotated[
    Path | None,
    typer.Option(
        envvar="ACCRUE_KEY_FILE",
        help="File with the key, if the server requires one; or put the key into ACCRUE_KEY.",
    ),
]

Options = Annotated[
    list[str] | None,
    typer.Option(
        "--options",
        "-o",
        metavar="KEY=VALUE",
        help="Option of the method, such as epochs=20; may be repeated. A new classifier stores "
        "it; an existing one uses it for this step only.",
    ),
]

Fields = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="New classifier: any other field of it, such as pinned=true, memory.format=webp or "
        "metadata.owner=Ann; may be repeated.",
    ),
]


class GroupBy(StrEnum):
    """What names the groups of a folder's images."""

    FOLDER = "folder"
    UPLOAD = "upload"


Group = Annotated[
    GroupBy | None,
    typer.Option(
        help="What is trained on or measured on as a whole: folder: each folder inside that of a "
        "class; upload: all that is sent.",
        show_default="single images",
    ),
]

FalseAlarms = Annotated[
    float | None,
    typer.Option(
        help="The share of images of known classes that may be called not known, above 0 and below "
        "1.",
        show_default="the version's",
    ),
]

__all__ = [
    "DEFAULT_URL",
    "FalseAlarms",
    "Fields",
    "Group",
    "KeyFile",
    "Name",
    "Options",
    "Url",
    "connect",
    "parse_fields",
    "parse_options",
]


def connect(url: str, key_file: Path | None) -> Client:
    """Return a client with the key in the file, else in ACCRUE_KEY, else without a key.

    Raises CommandError if the file cannot be read, or what should be a key is not one.
    """
    if key_file is None:
        return Client(url, _checked(os.environ.get("ACCRUE_KEY") or None, "ACCRUE_KEY"))
    try:
        key = key_file.read_text("utf-8-sig", errors="replace").strip()
    except OSError as error:
        raise CommandError(f"Cannot read the key in {key_file}: {error.strerror}.") from error
    return Client(url, _checked(key, str(key_file)))


def _checked(key: str | None, where: str) -> str | None:
    if key is not None and tokens.id_of(key.strip()) is None:
        raise CommandError(f"{where} does not hold a key. Keys begin with acr_.")
    return key and key.strip()


def parse_options(pairs: list[str], name: str = "--options") -> dict[str, Any]:
    """Parse KEY=VALUE pairs of the option `name`. A value is JSON, or else text.

    Raises CommandError for others.
    """
    parsed = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise CommandError(f"{name} takes KEY=VALUE, not {pair!r}.")
        try:
            parsed[key] = orjson.loads(value)
        except orjson.JSONDecodeError:
            parsed[key] = value
    return parsed


def parse_fields(pairs: list[str]) -> dict[str, Any]:
    """Parse FIELD=VALUE pairs, in which ``memory.format`` is a field within a field.

    Raises CommandError where two pairs contradict each other, and for what is no pair.
    """
    fields: dict[str, Any] = {}
    for key, value in parse_options(pairs, "--set").items():
        *outer, last = key.split(".")
        inside = fields
        for part in outer:
            inside = inside.setdefault(part, {})
            if not isinstance(inside, dict):
                raise CommandError(f"--set gives {part} a value, and fields within it.")
        if last in inside:
            raise CommandError(f"--set gives {key} a value, and fields within it.")
        inside[last] = value
    return fields
