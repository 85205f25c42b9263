"""The advice as a picture: how accurate each row is, and what it costs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from app.advice.table import name_of
from app.client.text import size

FORMATS = (".png", ".svg", ".pdf")
_CHOSEN, _EXACT, _PARTLY = "#2f8f68", "#3467a8", "#b5803a"


def draw(advice: Mapping[str, Any], target: Path) -> None:
    """Write accuracies with their standard errors, the time of a prediction and bytes a class.

    The suffix of `target` decides the format: see `FORMATS`.
    """
    rows = advice["rows"]
    recommended = advice["recommendation"]
    chosen = None if recommended is None else recommended["row"]
    colours = [
        _CHOSEN if index == chosen else _EXACT if row["forgets"] == "exactly" else _PARTLY
        for index, row in enumerate(rows)
    ]
    figure = Figure(figsize=(13, 2.2 + 0.45 * len(rows)), layout="constrained", dpi=130)
    accuracy, predicts, keeps = figure.subplots(1, 3, sharey=True, width_ratios=(5, 2, 2))
    _accuracies(accuracy, rows, colours)
    _bars(
        predicts,
        [1000 * row["prediction_seconds"] for row in rows],
        [f"{1000 * row['prediction_seconds']:.0f} ms" for row in rows],
        colours,
    )
    predicts.set_title("time of a prediction")
    kept = [row["bytes_per_class"] for row in rows]
    _bars(keeps, [count / 1000 for count in kept], [size(count) for count in kept], colours)
    keeps.set_title("kept of a class")
    names = [name_of(row) + (" *" if row["cut"] else "") for row in rows]
    accuracy.set_yticks(range(len(rows)), names, fontsize=9)
    accuracy.invert_yaxis()
    figure.suptitle(
        f"{advice['judged']} images of {advice['classes']} classes: accuracy ± standard error",
        fontsize=13,
    )
    figure.supxlabel(_legend(rows), fontsize=8.5, color="0.3")
    figure.savefig(target)


def _accuracies(axes: Axes, rows: Sequence[Mapping[str, Any]], colours: Sequence[str]) -> None:
    lowest = 100.0
    for position, (row, colour) in enumerate(zip(rows, colours, strict=True)):
        if row["accuracy"] is None:
            continue
        value, error = 100 * row["accuracy"], 100 * row["standard_error"]
        lowest = min(lowest, value - error)
        axes.errorbar(value, position, xerr=error, fmt="o", color=colour, capsize=4, markersize=7)
        axes.annotate(
            f"{value:.1f}",
            (value, position),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=colour,
        )
    axes.set_xlim(max(0.0, 10 * ((lowest - 2) // 10)), 101)
    axes.set_ylim(-0.7, len(rows) - 0.4)
    axes.set_xlabel("images right in %")
    axes.grid(axis="x", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _bars(
    axes: Axes, values: Sequence[float], texts: Sequence[str], colours: Sequence[str]
) -> None:
    axes.barh(range(len(values)), values, 0.5, color=colours, alpha=0.85)
    for position, (value, text) in enumerate(zip(values, texts, strict=True)):
        axes.annotate(
            text,
            (value, position),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.set_xlim(0, 1.3 * max(values, default=1.0))
    axes.set_xticks([])
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def _legend(rows: Sequence[Mapping[str, Any]]) -> str:
    parts = ["green: recommended", "blue: forgets a class exactly"]
    if any(row["forgets"] == "partly" for row in rows):
        parts.append("brown: something of a forgotten class stays")
    if any(row["cut"] for row in rows):
        parts.append("*: cut short by the time, so it may do better")
    return "   ·   ".join(parts)
