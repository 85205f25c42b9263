"""An evaluation on the terminal: classes, what is confused, calibration and the surest mistakes."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.client.text import percent, share_with_error

# Rows that are shown at most; what is least right comes first.
_CLASSES, _PAIRS, _MISTAKES = 40, 8, 10
_WHY = {
    "trained": "trained on",
    "alike": "like one trained on",
    "same_group": "of a group trained on",
    "repeated": "sent twice",
    "other_tasks": "of other tasks",
}


def show(
    name: str,
    report: Mapping[str, Any],
    mistakes: Sequence[Mapping[str, Any]],
    console: Console,
    names: Mapping[tuple[str, str], str],
) -> None:
    """Print an evaluation, and the images that are most surely wrong.

    `names` are those of images by SHA-256 and label; an image without one is shown by its SHA-256.
    """
    of = "held out of it" if report["source"] == "held_out" else "that it was never trained on"
    console.print(
        f"[bold]{escape(name)} version {report['version']}[/]: accuracy "
        f"{share_with_error(report['accuracy'], report['standard_error'])} "
        f"on {report['images']} images {of}{_groups(report)}.",
        soft_wrap=True,
    )
    for line in _lines(report):
        console.print(line, markup=False, soft_wrap=True)
    console.print(_classes(report))
    if pairs := _confused(report):
        console.print("Most confused:", *pairs, sep="\n  ", markup=False)
    if mistakes:
        console.print(_mistakes(mistakes, names))


def _groups(report: Mapping[str, Any]) -> str:
    """Say how many groups the images are of, which the standard error is by."""
    groups = report.get("measured_on_groups")  # reports of earlier releases have none
    if groups == 1:
        return ", all of one group, so that its standard error is not known"
    return "" if groups is None else f", of {groups} groups"


def _lines(report: Mapping[str, Any]) -> list[str]:
    lines = []
    left_out = [f"{count} {_WHY[why]}" for why, count in report["left_out"].items() if count]
    if left_out:
        lines.append(f"Left out: {', '.join(left_out)}.")
    error = percent(report["calibration"]["expected_error"])
    lines.append(f"Expected calibration error: {error}.")
    known, unknown = report["known"], report["unknown"]
    if known["called_unknown"] is not None:
        lines.append(
            f"Called unknown: {known['called_unknown']} of {known['images']} "
            f"({percent(known['share'])}; at most {percent(report['false_alarms'])} is promised)."
        )
    elif report["known_why"] is not None:
        lines.append(f"Nothing is called known or unknown: {report['known_why']}.")
    if labels := ", ".join(report["unknown_labels"]):
        found = unknown["called_unknown"]
        said = "" if found is None else f": {found} called unknown"
        lines.append(f"{unknown['images']} images of labels it does not know ({labels}){said}.")
    return lines


def _classes(report: Mapping[str, Any]) -> Table:
    measured = [row for row in report["per_class"] if row["images"]]
    shown = sorted(measured, key=lambda row: row["f1"])[:_CLASSES]
    more = len(measured) - len(shown)
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("class", overflow="fold")
    for column in ("images", "found", "right when named", "F1"):
        table.add_column(column, justify="right")
    for row in shown:
        cells = (percent(row[key]) for key in ("recall", "precision", "f1"))
        table.add_row(escape(row["label"]), str(row["images"]), *cells)
    if more:
        table.caption = f"and {more} classes that are more right"
    return table


def _confused(report: Mapping[str, Any]) -> list[str]:
    labels, counts = report["confusion"]["labels"], report["confusion"]["counts"]
    pairs = [
        (count, label, other)
        for label, row in zip(labels, counts, strict=True)
        for other, count in zip(labels, row, strict=True)
        if count and other != label
    ]
    most = sorted(pairs, key=lambda pair: -pair[0])[:_PAIRS]
    return [f"{label} called {other}: {count}" for count, label, other in most]


def _mistakes(images: Sequence[Mapping[str, Any]], names: Mapping[tuple[str, str], str]) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False, title="Most surely wrong")
    table.title_justify = "left"
    for column in ("image", "label", "called"):
        table.add_column(column, overflow="fold")
    for column in ("score", "of the label"):
        table.add_column(column, justify="right")
    for image in images[:_MISTAKES]:
        table.add_row(
            escape(names.get((image["sha256"], image["label"]), image["sha256"])),
            escape(image["label"]),
            escape(image["predicted"]),
            percent(image["score"]),
            percent(image["label_score"]),
        )
    return table
