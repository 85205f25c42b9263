"""`accrue learn`: teaches a classifier the classes of a folder."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

from app.cli.options import (
    DEFAULT_URL,
    Fields,
    Group,
    KeyFile,
    Name,
    Options,
    Url,
    connect,
    parse_fields,
    parse_options,
)
from app.cli.sending import UploadStoppedError, check, discard, send
from app.cli.versions import described
from app.client.client import Client, ClientError, classifier_path
from app.client.errors import CommandError
from app.client.jobs import follow, show_warnings


def learn(
    name: Name,
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Holds a folder for each class, named by its label; or such folders in train/ and "
            "test/ or val/; or what other tools export. Also an archive of these.",
            show_default=False,
        ),
    ],
    *,
    method: Annotated[
        str | None,
        typer.Option(help="New classifier: its method.", show_default="analytic"),
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="New classifier: its network.", show_default="efficientnet_lite0"),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="New classifier: pretrained weights of the network.")
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            help="New classifier: side of its images in pixels.",
            show_default="160, or 96 for small images",
        ),
    ] = None,
    resize: Annotated[
        str | None,
        typer.Option(
            help="New classifier: what becomes of images that are not square: squash, pad or crop."
        ),
    ] = None,
    exemplars: Annotated[
        int | None, typer.Option(help="New classifier: images to keep as exemplars, in total.")
    ] = None,
    regularizer: Annotated[
        str | None, typer.Option(help="New classifier: a loss besides the method's, such as cs_kd.")
    ] = None,
    flip: Annotated[
        bool | None,
        typer.Option(
            "--flip/--no-flip",
            help="New classifier: whether training mirrors images (not for signs, digits).",
        ),
    ] = None,
    fields: Fields = None,
    options: Options = None,
    on_existing: Annotated[
        str, typer.Option(help="What to do with a class that is known already: error, or extend.")
    ] = "error",
    group: Group = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Learn nothing unless everything in the folder can be used."),
    ] = False,
    resume: Annotated[
        str | None,
        typer.Option(metavar="UPLOAD", help="Continue an upload that was interrupted."),
    ] = None,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
) -> None:
    """Teach a classifier the classes of a folder; a missing classifier is created.

    Without other options, a new classifier learns with pretrained weights in seconds. With a
    backbone that has none installed, --exemplars, --regularizer or --option, it trains by icarl.

    Files that cannot be used are named and left out; with --strict, exit status 1 and nothing is
    learnt.
    """
    wanted = {
        "method": method,
        "backbone": backbone,
        "weights": weights,
        "image_size": image_size,
        "resize": resize,
        "memory": None if exemplars is None else {"exemplars": exemplars},
        "regularizer": None if regularizer is None else {"name": regularizer},
        "augment": None if flip is None else {"flip": flip},
    }
    settings: dict[str, Any] = {k: value for k, value in wanted.items() if value is not None}
    for key, value in parse_fields(fields or []).items():
        # Such as --exemplars 100 --set memory.format=webp.
        both = isinstance(value, dict) and isinstance(settings.get(key), dict)
        settings[key] = {**settings[key], **value} if both else value
    method_options = parse_options(options or [])
    check(folder)
    console = Console(highlight=False)
    with connect(url, key_file) as client:
        with ExitStack() as undo:
            step_options = _ensure_classifier(client, name, settings, method_options, undo, console)
            try:
                upload = send(
                    client, folder, console, group, strict=strict, resumable=True, resume=resume
                )
            except UploadStoppedError:
                undo.pop_all()  # it is to be continued
                raise
            undo.callback(discard, client, upload.id, console)
            request = {
                "kind": "learn",
                "uploads": [upload.id],
                "options": step_options,
                "on_existing": on_existing,
            }
            job = client.post(f"{classifier_path(name)}/jobs", request)
            undo.pop_all()  # now the job refers to the upload
        _describe_learner(client.get(classifier_path(name)), console)
        job = follow(client, job, console)
        version = client.get(f"{classifier_path(name)}/versions/{job['version']}")
        show_warnings(client, job["id"], console, said=upload.warnings)
    console.print(described(name, version))


def _ensure_classifier(
    client: Client,
    name: str,
    settings: Mapping[str, Any],
    options: Mapping[str, Any],
    undo: ExitStack,
    console: Console,
) -> Mapping[str, Any]:
    """Create the classifier unless it exists; return the options for the job of this step.

    Raises CommandError if it exists with other settings.
    """
    path = classifier_path(name)
    try:
        existing = client.get(path)
    except ClientError as error:
        if error.code != "classifier-not-found":
            raise
        client.post("/v1/classifiers", {"name": name, "options": options, **settings})
        undo.callback(_remove, client, path, console)
        return {}
    for key, value in settings.items():
        there = existing.get(key)
        if not _agrees(there, value):
            raise CommandError(
                f"{name} exists with {key} {_show(there)}, not {_show(value)}, and learning does "
                "not change that. Choose another name, or leave the option out."
            )
    return options


def _remove(client: Client, path: str, console: Console) -> None:
    try:
        client.delete(path)
    except ClientError as error:
        if error.code != "missing-scope":
            raise
        console.print("The new classifier stays, since this key may not delete it.")


def _agrees(existing: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return existing is not None and all(
            existing.get(key) == value for key, value in wanted.items()
        )
    return bool(existing == wanted)


def _show(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _describe_learner(classifier: Mapping[str, Any], console: Console) -> None:
    weights = classifier["weights"]
    console.print(
        f"{classifier['name']} learns by {classifier['method']} on {classifier['backbone']} "
        f"({f'weights {weights}' if weights else 'from random weights'}), with images of "
        f"{classifier['image_size']}×{classifier['image_size']} pixels.",
        markup=False,
    )
