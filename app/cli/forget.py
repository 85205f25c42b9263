"""`accrue forget`: makes a classifier forget classes, irreversibly with `--purge`."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console

from app.cli.options import DEFAULT_URL, KeyFile, Name, Url, connect
from app.cli.versions import described
from app.client.client import classifier_path
from app.client.errors import CommandError
from app.client.jobs import follow, show_warnings


def forget(
    name: Name,
    classes: Annotated[
        list[str],
        typer.Argument(metavar="CLASS...", help="Labels to forget.", show_default=False),
    ],
    *,
    purge: Annotated[
        bool,
        typer.Option(
            "--purge",
            help="Also delete the older versions that know them and the uploads with their images. "
            "This cannot be undone.",
        ),
    ] = False,
    now: Annotated[
        bool,
        typer.Option(
            "--now", help="With --purge: delete their bytes at once, not after the sweep's grace."
        ),
    ] = False,
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
) -> None:
    """Make a version without some classes, and say what may remain of them."""
    console = Console(highlight=False)
    if now and not purge:
        raise CommandError("--now says when to purge, so it needs --purge.")
    request = {"kind": "forget", "classes": classes, "purge": "now" if now else purge}
    with connect(url, key_file) as client:
        job = client.post(f"{classifier_path(name)}/jobs", request)
        job = follow(client, job, console)
        report = client.get(f"/v1/jobs/{job['id']}/report")
        version = client.get(f"{classifier_path(name)}/versions/{job['version']}")
        show_warnings(client, job["id"], console)
    _describe_report(report, console)
    console.print(described(name, version))


def _describe_report(report: Mapping[str, Any], console: Console) -> None:
    console.print(f"Forgotten: {', '.join(report['forgotten'])}.", markup=False)
    if purged := report["purged"]:
        numbers = ", ".join(map(str, purged["versions"])) or "none"
        console.print(f"Deleted for good: versions {numbers}; uploads: {len(purged['uploads'])}.")
    if residual := ", ".join(report["residual"]):
        console.print(f"Something of them may remain in what other classes share: {residual}.")
