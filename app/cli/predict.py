"""`accrue predict`: asks a classifier what images show."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.cli.options import DEFAULT_URL, FalseAlarms, KeyFile, Name, Url, connect
from app.client.client import classifier_path
from app.client.errors import CommandError
from app.client.text import percent

# Images in one request.
_BATCH = 64


def predict(
    name: Name,
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Image files.", show_default=False)
    ],
    *,
    version: Annotated[str, typer.Option(help="Number or alias of the version.")] = "live",
    task: Annotated[
        int | None, typer.Option(min=0, help="Consider only the classes of this task.")
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Classes to show for each image.")] = 3,
    false_alarms: FalseAlarms = None,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
) -> None:
    """Show what a classifier sees in images. Exit status 1 if an image cannot be read."""
    path = f"{classifier_path(name)}/predict"
    chosen = {"task": task, "false_alarms": false_alarms}
    query: dict[str, Any] = {"version": version, "top_k": top_k}
    query |= {key: value for key, value in chosen.items() if value is not None}
    table = Table(box=None, header_style="dim")
    table.add_column("image", overflow="fold")
    for column in ("label", "score", "known", "then"):
        table.add_column(column)
    answered_by = None
    unreadable = []
    reasons: dict[str, None] = {}
    with connect(url, key_file) as client:
        for start in range(0, len(images), _BATCH):
            batch = images[start : start + _BATCH]
            answer = client.predict(path, map(_read, batch), **query)
            answered_by = answer["version"]
            for image, result in zip(batch, answer["results"], strict=True):
                if "error" in result:
                    unreadable.append(f"{image}: {result['error']['detail']}")
                else:
                    table.add_row(escape(str(image)), *_describe(result))
                    if "known_why" in result:
                        reasons[result["known_why"]] = None
    console = Console(highlight=False)
    console.print(table)
    console.print(f"[dim]{name} version {answered_by}[/]")
    for reason in reasons:
        console.print(f"[dim]known is -: {escape(reason)}[/]")
    if unreadable:
        raise CommandError("\n".join(unreadable))


def _read(image: Path) -> bytes:
    try:
        return image.read_bytes()
    except OSError as error:
        raise CommandError(f"Cannot read {image}: {error.strerror}.") from error


def _describe(result: dict[str, Any]) -> tuple[str, str, str, str]:
    _, *others = result["ranked"]
    then = ", ".join(f"{escape(other['label'])} {percent(other['score'])}" for other in others)
    label = f"[bold]{escape(result['label'])}[/]"
    return label, percent(result["score"]), _known(result), then


def _known(result: dict[str, Any]) -> str:
    """Say whether an image is known, and if not, how rarely known images are as strange."""
    known = result.get("known")  # older releases do not say
    if known is None:
        return "-"
    return "yes" if known else f"[yellow]not known: p = {result['p_known']:.2g}[/]"
