"""`accrue versions` and `accrue rollback`: lists versions, and chooses which one is served."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from app.cli.options import DEFAULT_URL, KeyFile, Name, Url, connect
from app.client.client import classifier_path
from app.client.text import forgetting, forgetting_phrase, percent, share_with_error, size, utc


def versions(name: Name, url: Url = DEFAULT_URL, key_file: KeyFile = None) -> None:
    """List the versions of a classifier, newest first."""
    # Narrow, so that it fits into 80 columns.
    table = Table(box=None, header_style="dim", pad_edge=False, collapse_padding=True)
    for column in ("version", "parent", "classes", "accuracy", "forgetting", "size"):
        table.add_column(column, justify="right")
    table.add_column("created (UTC)")
    table.add_column("aliases")
    with connect(url, key_file) as client:
        known = list(client.each(f"{classifier_path(name)}/versions"))
    for version in sorted(known, key=lambda one: one["number"], reverse=True):
        table.add_row(
            str(version["number"]),
            str(version["parent"] or "-"),
            str(version["class_count"]),
            percent(version["metrics"]["goes_by"]["accuracy"]),
            forgetting(version["metrics"]["forgetting"]),
            size(version["size_bytes"]),
            utc(datetime.fromisoformat(version["created_at"])),
            f"[green]{', '.join(version['aliases'])}[/]",
        )
    console = Console(highlight=False)
    if known:
        console.print(table)
    else:
        console.print(f"{name} has no version yet.")


def described(name: str, version: Mapping[str, Any]) -> str:
    """Return a sentence with the classes and metrics of a version, in the markup of rich."""
    metrics = version["metrics"]
    live = " (live)" if "live" in version["aliases"] else ""
    lost = metrics["forgetting"]  # null after the first task
    classes = version["class_count"]
    return (
        f"[bold]{name} version {version['number']}[/]{live} knows {classes} "
        f"class{'es' * (classes != 1)}: accuracy {_accuracy(metrics)}"
        + ("." if lost is None else f", {forgetting_phrase(lost)}.")
        + _unknown(metrics.get("unknown"))  # null for a version of an earlier release
    )


def _unknown(unknown: Mapping[str, Any] | None) -> str:
    """Return a sentence on the images of classes left out that are found, if that was measured."""
    if not unknown or unknown["detected"] is None:
        return ""
    return (
        f" Leaving out each class in turn, about {percent(unknown['detected'])} of its images are "
        f"called not known, at {percent(unknown['false_alarms'])} false alarms."
    )


def _accuracy(metrics: Mapping[str, Any]) -> str:
    """Return the accuracy with what it rests on, and the leave-one-out accuracy where that helps.

    Fields are missing or null in versions of earlier releases.
    """
    images, groups = metrics["measured_on"], metrics.get("measured_on_groups")
    held_out = share_with_error(metrics["accuracy"], metrics.get("standard_error"))
    if images:
        of_groups = f" of {groups} group{'s' * (groups > 1)}" if groups else ""
        held_out += f" on {images} image{'s' * (images > 1)}{of_groups} never trained on"
    left_out = metrics.get("leave_one_out")
    if left_out is None:
        return held_out
    figure = share_with_error(left_out["accuracy"], left_out["standard_error"])
    how = f"leaving out each of {left_out['images']} training images in turn"
    if left_out["grouped"]:
        how += ", which is too high as others of its group stay"
    return f"{held_out} ({figure} by {how})" if images else f"{figure} by {how}"


def rollback(
    name: Name,
    version: Annotated[
        int,
        typer.Argument(
            metavar="VERSION", help="Number of the version to serve.", show_default=False
        ),
    ],
    url: Url = DEFAULT_URL,
    key_file: KeyFile = None,
) -> None:
    """Serve another version, older or newer, by moving the alias `live`."""
    path = f"{classifier_path(name)}/aliases"
    with connect(url, key_file) as client:
        aliases = {alias["name"]: alias["version"] for alias in client.each(path)}
        # Optimistic locking: the server refuses if the alias has been moved meanwhile.
        client.put(f"{path}/live", {"version": version, "expected_version": aliases.get("live")})
    Console(highlight=False).print(
        f"{name} now serves version {version} (before: {aliases.get('live', 'none')})."
    )
