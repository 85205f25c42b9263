"""`accrue predict`: asks a classifier what images show."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from accrue_client.folders import list_folder
from accrue_client.predicting import batches as batched
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from app.cli.options import DEFAULT_URL, FalseAlarms, KeyFile, Name, Url, connect
from app.cli.output import Csv, Json, print_csv, print_json
from app.cli.sending import describe_skipped
from app.client.client import Client, classifier_path
from app.client.errors import CommandError
from app.client.text import percent

# The most images in one request.
_BATCH = 64

Answers = list[tuple[Path, dict[str, Any]]]


def predict(
    name: Name,
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE...", help="Image files, and folders of them.", show_default=False
        ),
    ],
    *,
    version: Annotated[str, typer.Option(help="Number or alias of the version.")] = "live",
    task: Annotated[
        int | None, typer.Option(min=0, help="Consider only the classes of this task.")
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Classes to show for each image.")] = 3,
    false_alarms: FalseAlarms = None,
    json: Json = False,
    csv: Csv = False,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
) -> None:
    """Show what a classifier sees in images. Exit status 1 if an image cannot be read."""
    files = [file for given in images for file in _files(given)]
    query: dict[str, Any] = {"version": version, "top_k": top_k}
    query |= {"task": task, "false_alarms": false_alarms}
    with connect(url, key_file) as client:
        answers, answered_by = _ask(client, name, files, query)
    if json:
        print_json([{"image": str(image), **result} for image, result in answers])
    elif csv:
        print_csv([_row(image, result) for image, result in answers])
    else:
        _show(answers, f"{name} version {answered_by}")
    unreadable = [
        f"{image}: {result['error']['detail']}" for image, result in answers if "error" in result
    ]
    if unreadable:
        raise CommandError("\n".join(unreadable))


def _files(given: Path) -> Sequence[Path]:
    """Return an image, or the files of a folder but what desktops leave behind."""
    if not given.is_dir():
        return [given]
    listing = list_folder(given)
    if listing.skipped:
        describe_skipped(listing.skipped, Console(stderr=True, highlight=False))
    if not listing.files:
        raise CommandError(f"There are no images in {given}.")
    return [file.source for file in listing.files]


def _ask(
    client: Client, name: str, images: Sequence[Path], query: dict[str, Any]
) -> tuple[Answers, int]:
    """Return the answer for each image, and the number of the version."""
    path = f"{classifier_path(name)}/predict"
    answers: Answers = []
    for batch in _batches(images):
        answer = client.predict(path, map(_read, batch), **query)
        answers += zip(batch, answer["results"], strict=True)
    return answers, answer["version"]


def _batches(images: Sequence[Path]) -> Iterator[Sequence[Path]]:
    """Yield images in batches of bounded size, with a progress bar where there are many."""
    batches = list(batched(images, _BATCH))
    console = Console(stderr=True)
    quiet = len(batches) < 2 or not console.is_terminal
    yield from track(batches, "predicting", console=console, transient=True, disable=quiet)


def _read(image: Path) -> bytes:
    try:
        return image.read_bytes()
    except OSError as error:
        raise CommandError(f"Cannot read {image}: {error.strerror}.") from error


def _row(image: Path, result: dict[str, Any]) -> dict[str, Any]:
    values = {key: result.get(key) for key in ("label", "score", "known", "p_known")}
    return {"image": str(image), **values, "error": result.get("error", {}).get("detail")}


def _show(answers: Answers, answered_by: str) -> None:
    table = Table(box=None, header_style="dim")
    table.add_column("image", overflow="fold")
    for column in ("label", "score", "known", "then"):
        table.add_column(column)
    readable = [(image, result) for image, result in answers if "error" not in result]
    for image, result in readable:
        table.add_row(escape(str(image)), *_describe(result))
    console = Console(highlight=False)
    console.print(table)
    console.print(f"[dim]{answered_by}[/]")
    # Once each, in the order in which they were said.
    for reason in dict.fromkeys(
        result["known_why"] for _, result in readable if "known_why" in result
    ):
        console.print(f"[dim]known is -: {escape(reason)}[/]")


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
