"""`accrue advise`: says which method, backbone and image size to choose for folders of images."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.advice import table
from app.cli import extra
from app.cli.options import DEFAULT_URL, Group, KeyFile, Url, connect
from app.cli.sending import check, discard, send
from app.client.client import Client
from app.client.errors import CommandError
from app.client.jobs import follow, warnings

_DRAWN_BY_DEFAULT = Path("accrue-advice.png")


def advise(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER...",
            help="Hold a folder for each class, named by its label; or such folders in train/ and "
            "test/.",
            show_default=False,
        ),
    ],
    *,
    seconds: Annotated[
        float, typer.Option(min=1, max=3600, help="How long to measure, about.")
    ] = 120,
    picture: Annotated[
        Path | None,
        typer.Option(
            help="File for the picture: PNG, SVG or PDF.",
            show_default=f"{_DRAWN_BY_DEFAULT}, where matplotlib is installed",
        ),
    ] = None,
    group: Group = None,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
) -> None:
    """Say which method, backbone and image size to choose for images, measured on them.

    Nothing is kept: the images are deleted from the server afterwards, and no classifier is made.
    """
    target = _target(picture)
    console = Console(highlight=False)
    for folder in folders:
        check(folder)
    with connect(url, key_file) as client:
        uploads: list[str] = []
        try:
            # One by one, so that those that were made are removed if the next one fails.
            uploads.extend(send(client, folder, console, group).id for folder in folders)
            job = client.post("/v1/advice", {"uploads": uploads, "seconds": seconds})
        except BaseException:
            _remove(client, uploads, console)
            raise
        # An interruption leaves the job its uploads; it continues on the server.
        try:
            job = follow(client, job, console)
        except CommandError:
            _remove(client, uploads, console)
            raise
        advice = client.get(f"/v1/jobs/{job['id']}/report")
        more = [said for said in warnings(client, job["id"]) if said not in advice["warnings"]]
        _remove(client, uploads, console)
    table.show({**advice, "warnings": [*advice["warnings"], *more]}, console, group)
    if target is not None:
        from app.advice.picture import draw  # noqa: PLC0415 - needs the extra

        draw(advice, target)
        console.print(f"Picture: {target}", markup=False)


def _target(picture: Path | None) -> Path | None:
    """Return where the picture goes, None for no picture. Raises CommandError."""
    if picture is None:
        return _DRAWN_BY_DEFAULT if extra.present("matplotlib") else None
    extra.check_picture(picture)
    return picture


def _remove(client: Client, uploads: list[str], console: Console) -> None:
    for upload in uploads:
        discard(client, upload, console)
