"""`accrue evaluate`: says how right a version is, on a folder or on its held-out images."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from app.cli import extra
from app.cli.options import DEFAULT_URL, FalseAlarms, Group, KeyFile, Name, Url, connect
from app.cli.sending import check, discard, send
from app.client.client import Client, classifier_path
from app.client.jobs import follow, show_warnings
from app.evaluation import tables


def evaluate(
    name: Name,
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FOLDER]",
            help="Holds a folder for each class, named by its label. Without it, the version's "
            "held-out images are evaluated.",
            show_default=False,
        ),
    ] = None,
    *,
    version: Annotated[str, typer.Option(help="Number or alias of the version.")] = "live",
    task: Annotated[
        int | None, typer.Option(min=0, help="Consider this task's classes and images only.")
    ] = None,
    classify: Annotated[
        str, typer.Option(help="How to classify: auto, nearest_mean, softmax or discriminant.")
    ] = "auto",
    false_alarms: FalseAlarms = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            help="File for a picture of the confusion matrix and the reliability diagram: PNG, "
            "SVG or PDF."
        ),
    ] = None,
    group: Group = None,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
) -> None:
    """Say how right a version is: by class, what it confuses, and the surest mistakes.

    Images that it was trained on are left out. No version is made.
    """
    if picture is not None:
        extra.check_picture(picture)
    console = Console(highlight=False)
    if folder is not None:
        check(folder)
    request: dict[str, Any] = {
        "kind": "evaluate",
        "task": task,
        "classify": classify,
        "false_alarms": false_alarms,
    }
    request |= {"base_version": int(version)} if version.isdecimal() else {"alias": version}
    with connect(url, key_file) as client:
        upload, job = _ask(client, name, request, folder, console, group)
        job = follow(client, job, console)
        report = client.get(f"/v1/jobs/{job['id']}/report")
        mistakes = client.get(f"/v1/jobs/{job['id']}/images", wrong=True, limit=10)["data"]
        names = _names(client, upload) if mistakes and upload is not None else {}
        show_warnings(client, job["id"], console)
    tables.show(name, report, mistakes, console, names)
    if picture is not None:
        from app.evaluation.picture import draw  # noqa: PLC0415 - needs the extra

        draw(name, report, picture)
        console.print(f"Picture: {picture}", markup=False)


def _ask(
    client: Client,
    name: str,
    request: dict[str, Any],
    folder: Path | None,
    console: Console,
    group: Group,
) -> tuple[str | None, Any]:
    """Make the job, with an upload of the folder, which is deleted where the job is refused.

    Return the upload's id, None without a folder, and the job.
    """
    path = f"{classifier_path(name)}/jobs"
    if folder is None:
        return None, client.post(path, request)
    # Before anything is sent in vain.
    version = request.get("alias", request.get("base_version"))
    client.get(f"{classifier_path(name)}/versions/{version}")
    upload = send(client, folder, console, group)
    try:
        return upload.id, client.post(path, {**request, "uploads": [upload.id]})
    except BaseException:
        discard(client, upload.id, console)
        raise


def _names(client: Client, upload: str) -> dict[tuple[str, str], str]:
    """Return the files' names by SHA-256 and label: a file may be sent under two labels.

    They are the server's, since what it stores of a file with metadata has another SHA-256.
    """
    images = client.each(f"/v1/uploads/{upload}/images")
    return {(image["sha256"], image["label"]): image["name"] for image in images}
