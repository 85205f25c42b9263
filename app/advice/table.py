"""The advice of a job as people read it on a terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from app.client.text import percent, size


def show(advice: Mapping[str, Any], console: Console) -> None:
    """Print the table, what is left out, the recommendation and the warnings."""
    console.print(_table(advice))
    for line in _lines(advice):
        console.print(line, markup=False, soft_wrap=True)


def name_of(row: Mapping[str, Any]) -> str:
    """Return what a row is called: method, backbone and image size."""
    return f"{row['method']} · {row['backbone']} · {row['image_size']} px"


def _table(advice: Mapping[str, Any]) -> Table:
    recommended = advice["recommendation"]
    table = Table()
    table.add_column("")
    table.add_column("method · backbone · size")
    for heading in ("accuracy", "learnt in", "predicts in", "a class keeps"):
        table.add_column(heading, justify="right")
    table.add_column("forgets a class")
    for index, row in enumerate(advice["rows"]):
        chosen = recommended is not None and index == recommended["row"]
        table.add_row(
            "→" if chosen else "",
            name_of(row) + (" *" if row["cut"] else ""),
            _accuracy(row),
            f"{row['seconds']:.1f} s",
            f"{1000 * row['prediction_seconds']:.0f} ms",
            size(row["bytes_per_class"]),
            "exactly" if row["forgets"] == "exactly" else f"{', '.join(row['residual'])} stay",
            style="bold green" if chosen else "",
        )
    return table


def _accuracy(row: Mapping[str, Any]) -> str:
    if row["accuracy"] is None:
        return percent(None)
    return f"{percent(row['accuracy'])} ± {100 * row['standard_error']:.1f}"


def _lines(advice: Mapping[str, Any]) -> Iterator[str]:
    like = f", {advice['look_alikes']} look like others" if advice["look_alikes"] else ""
    yield (
        f"Measured on {advice['judged']} of {advice['images']} images of {advice['classes']} "
        f"classes{like}. ± is one standard error."
    )
    for row in advice["rows"]:
        if row["cut"]:
            yield f"* {name_of(row)}: {row['cut']}, so it may do better."
    for left_out in advice["left_out"]:
        yield f"Left out: {name_of(left_out)}: {left_out['reason']}."
    for warning in advice["warnings"]:
        yield f"warning: {warning}"
    if (recommended := advice["recommendation"]) is not None:
        yield f"\n{recommended['why']}"
        body = orjson.dumps(recommended["classifier"]).decode()
        yield f"POST /v1/classifiers {body}"
        yield _command(recommended["classifier"])


def _command(classifier: Mapping[str, Any]) -> str:
    """Return the command that makes and teaches the classifier."""
    options = " ".join(
        f"--{name.replace('_', '-')} {value}"
        for name, value in classifier.items()
        if name != "name"
    )
    return f"accrue learn {classifier['name']} FOLDER {options}"
