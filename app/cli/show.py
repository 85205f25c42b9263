"""`accrue show`: a classifier and the version it serves, class by class, with suspected labels."""

import mimetypes
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.cli.options import DEFAULT_URL, KeyFile, Name, Url, connect
from app.cli.versions import described
from app.client.client import Client, ClientError, classifier_path
from app.client.text import percent

# What a server without the list, a key without the scope or a version of an older release answers.
_NO_SUSPECTS = frozenset({"not-judged", "missing-scope"})


def show(
    name: Name,
    *,
    version: Annotated[str, typer.Option(help="Number or alias of the version.")] = "live",
    suspects: Annotated[
        bool, typer.Option("--suspects", help="List the images whose label is likely to be wrong.")
    ] = False,
    save: Annotated[
        Path | None,
        typer.Option(help="Folder to write these images to: LABEL/SHA256, to look at them."),
    ] = None,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
) -> None:
    """Show a classifier, the version it serves and its classes."""
    console = Console(highlight=False)
    path = classifier_path(name)
    with connect(url, key_file) as client:
        _describe(client.get(path), console)
        try:
            shown = client.get(f"{path}/versions/{version}")
        except ClientError as error:
            if error.code != "version-not-found" or version != "live":
                raise
            console.print(f"{name} has no version yet: teach it with `accrue learn`.")
            return
        try:
            found, looked_at = _suspects(client, f"{path}/versions/{shown['number']}/suspects")
        except ClientError as error:
            if suspects or save is not None or error.code not in _NO_SUSPECTS:
                raise
            found, looked_at = [], None
        known = list(client.each(f"{path}/versions/{shown['number']}/classes"))
        unsaved = 0 if save is None else _save(client, found, save)
    console.print(described(name, shown))
    console.print(_classes(known, None if looked_at is None else found))
    if looked_at is not None:
        _describe_suspects(name, found, looked_at, console, listed=suspects or save is not None)
    if save is not None:
        said = f"{len(found) - unsaved} of these images are in {save}."
        if unsaved:
            said += f" {unsaved} are no longer stored: nothing but their features was kept."
        console.print(said, markup=False, soft_wrap=True)


def _suspects(client: Client, path: str) -> tuple[list[dict[str, Any]], dict[str, int]]:
    looked_at = client.get(path, limit=1)["looked_at"]
    return list(client.each(path)), looked_at


def _save(client: Client, images: Sequence[Mapping[str, Any]], folder: Path) -> int:
    """Write images into folders of their labels, and return how many are no longer stored."""
    gone = 0
    for image in images:
        try:
            data, media_type = client.get_bytes(f"/v1/images/{image['sha256']}")
        except ClientError as error:
            if error.status != 404:
                raise
            gone += 1
            continue
        home = folder / _folder_name(image["label"])
        home.mkdir(parents=True, exist_ok=True)
        suffix = mimetypes.guess_extension(media_type) or ""
        (home / f"{image['sha256']}{suffix}").write_bytes(data)
    return gone


def _folder_name(label: str) -> str:
    """Return a label as the name of a folder: it must not lead elsewhere (path traversal)."""
    name = quote(label, safe=" ")
    return name if name.strip(".") else name.replace(".", "%2E")


def _describe(classifier: Mapping[str, Any], console: Console) -> None:
    weights, size = classifier["weights"], classifier["image_size"]
    seen = "of a size that the first ones decide" if size is None else f"{size}×{size} pixels"
    console.print(
        f"{classifier['name']} learns by {classifier['method']} on {classifier['backbone']} "
        f"({f'weights {weights}' if weights else 'from random weights'}), images {seen}.",
        markup=False,
    )


def _classes(
    classes: Sequence[Mapping[str, Any]], suspects: Sequence[Mapping[str, Any]] | None
) -> Table:
    counts = Counter(image["label"] for image in suspects or ())
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("class", overflow="fold")
    for column in ("task", "trained on", "accuracy", "suspects"):
        table.add_column(column, justify="right")
    for known in classes:
        table.add_row(
            escape(known["label"]),
            str(known["task"]),
            str(known["train_images"]),
            percent(known["goes_by"]["accuracy"]),
            "-" if suspects is None else str(counts[known["label"]] or ""),
        )
    return table


def _describe_suspects(
    name: str,
    suspects: Sequence[Mapping[str, Any]],
    looked_at: Mapping[str, int],
    console: Console,
    *,
    listed: bool,
) -> None:
    count = looked_at["held_out"] + looked_at["trained"]
    labels = "1 label is" if len(suspects) == 1 else f"{len(suspects)} labels are"
    console.print(
        f"{labels} suspected to be wrong, of {count} images looked at "
        f"({looked_at['held_out']} held out, {looked_at['trained']} of "
        f"{looked_at['of_trained']} trained on)."
    )
    if not suspects:
        return
    if not listed:
        console.print(f"To list them: accrue show {name} --suspects", markup=False)
        return
    for image in suspects:
        console.print(
            f"{image['sha256']}  {image['label']} → {image['predicted']} "
            f"({percent(image['score'])}, its label {percent(image['label_score'])}; "
            f"{image['used'].replace('_', ' ')})",
            markup=False,
            soft_wrap=True,
        )
    console.print(
        f"To look at them: accrue show {name} --save FOLDER. To correct one: accrue correct {name} "
        "SHA256 LABEL",
        markup=False,
        soft_wrap=True,
    )
