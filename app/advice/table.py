"""The advice of a job as people read it on a terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from app.client.text import forgetting_phrase, size


def show(advice: Mapping[str, Any], console: Console, group: str | None = None) -> None:
    """Print the table, what is left out, the recommendation and the warnings.

    `group` is what names the groups of the images, as for `accrue learn`.
    """
    console.print(_table(advice))
    for line in _lines(advice, group):
        console.print(line, markup=False, soft_wrap=True)


def name_of(row: Mapping[str, Any]) -> str:
    """Return what a row is called: method, backbone and image size."""
    return f"{row['method']} · {row['backbone']} · {row['image_size']} px"


def _table(advice: Mapping[str, Any]) -> Table:
    recommended = advice["recommendation"]
    # As narrow as can be: 80 columns are the rule. Only the backbone's name may be broken.
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    table.add_column("method", no_wrap=True)
    table.add_column("backbone", overflow="fold")
    for heading in ("px", "right in %", "learns", "predicts", "a class"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("forgets", no_wrap=True)
    for index, row in enumerate(advice["rows"]):
        chosen = recommended is not None and index == recommended["row"]
        table.add_row(
            "→" if chosen else "*" if row["cut"] else "",
            row["method"],
            row["backbone"],
            str(row["image_size"]),
            _accuracy(row),
            f"{row['seconds']:.1f} s",
            f"{1000 * row['prediction_seconds']:.0f} ms",
            size(row["bytes_per_class"]),
            row["forgets"],
            style="bold green" if chosen else "",
        )
    return table


def _accuracy(row: Mapping[str, Any]) -> str:
    if row["accuracy"] is None:
        return "-"
    return f"{100 * row['accuracy']:.1f} ± {100 * row['standard_error']:.1f}"


def _lines(advice: Mapping[str, Any], group: str | None) -> Iterator[str]:
    like = f", {advice['look_alikes']} look like others" if advice["look_alikes"] else ""
    yield (
        f"\nMeasured on {advice['judged']} of {advice['images']} images of {advice['classes']} "
        f"classes{like}. "
        "± is one standard error; a class: the bytes kept of it."
    )
    for row in advice["rows"]:
        if row["cut"]:
            yield f"* {name_of(row)}: {row['cut']}, so it may do better."
        if row["forgetting"] is not None:
            yield f"{name_of(row)}: in two steps, {forgetting_phrase(row['forgetting'])}."
    if stays := dict.fromkeys(part for row in advice["rows"] for part in row["residual"]):
        yield f"What forgets partly keeps what its {' and '.join(stays)} learnt of a class."
    for left_out in advice["left_out"]:
        yield f"Left out: {name_of(left_out)}: {left_out['reason']}."
    for warning in advice["warnings"]:
        yield f"warning: {warning}"
    if (recommended := advice["recommendation"]) is not None:
        yield f"\n{recommended['why']}"
        body = orjson.dumps(recommended["classifier"]).decode()
        yield f"POST /v1/classifiers {body}"
        yield _command(recommended["classifier"], group)


def _command(classifier: Mapping[str, Any], group: str | None) -> str:
    """Return the command that makes and teaches the classifier, with the images' groups."""
    options = " ".join(
        f"--{name.replace('_', '-')} {value}"
        for name, value in classifier.items()
        if name != "name"
    )
    groups = "" if group is None else f" --group {group}"
    return f"accrue learn {classifier['name']} FOLDER {options}{groups}"
