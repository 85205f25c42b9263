"""An evaluation as a picture: the confusion matrix and the reliability diagram."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# With more classes, cells have no numbers; with many more, not every class has its name.
_NUMBERED, _NAMED = 20, 60
_RIGHT, _GAP = "#3467a8", "#c75b4a"


def draw(name: str, report: Mapping[str, Any], target: Path) -> None:
    """Write both; the suffix of `target` decides the format."""
    classes = len(report["confusion"]["labels"])
    side = min(max(4.5, 0.38 * classes + 2), 16)
    figure = Figure(figsize=(side + 5.5, max(side, 5)), layout="constrained", dpi=130)
    matrix, diagram = figure.subplots(1, 2, width_ratios=(side, 4.5))
    _confusion(matrix, report)
    _reliability(diagram, report["calibration"])
    accuracy, error = 100 * report["accuracy"], report["standard_error"]
    chance = "" if error is None else f" ± {100 * error:.1f}"
    figure.suptitle(
        f"{name} version {report['version']}: {accuracy:.1f}{chance} % right of "
        f"{report['images']} images",
        fontsize=13,
    )
    figure.savefig(target)


def _confusion(axes: Axes, report: Mapping[str, Any]) -> None:
    labels = report["confusion"]["labels"]
    counts = np.array(report["confusion"]["counts"])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(labels) <= _NUMBERED:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = "white" if shares[row, column] > 0.55 else "black"
                axes.text(
                    column, row, str(count), ha="center", va="center", color=colour, fontsize=8
                )
    every = -(-len(labels) // _NAMED)
    at = range(0, len(labels), every)
    axes.set_xticks(at, [labels[index] for index in at], rotation=90, fontsize=8)
    axes.set_yticks(at, [labels[index] for index in at], fontsize=8)
    axes.set(xlabel="called", ylabel="label", title="confusion")


def _reliability(axes: Axes, calibration: Mapping[str, Any]) -> None:
    bins = [row for row in calibration["bins"] if row["images"]]
    width = 1 / len(calibration["bins"])
    most = max(row["images"] for row in bins)
    axes.plot((0, 1), (0, 1), color="0.6", linewidth=1, linestyle="--")
    for row in bins:
        centre = row["up_to"] - width / 2
        # Paler where it rests on few images.
        alpha = 0.25 + 0.75 * row["images"] / most
        axes.bar(centre, row["accuracy"], 0.9 * width, color=_RIGHT, alpha=alpha)
        axes.plot(
            (row["score"], row["score"]),
            (row["accuracy"], row["score"]),
            color=_GAP,
            linewidth=2,
            alpha=alpha,
        )
        axes.annotate(
            str(row["images"]), (centre, 0.01), ha="center", fontsize=7, color="0.15", rotation=90
        )
    error = 100 * calibration["expected_error"]
    axes.set(
        xlim=(0, 1),
        ylim=(0, 1.02),
        xlabel="score of the answer (numbers: images)",
        ylabel="share right (red: away from the score)",
        title=f"reliability: expected calibration error {error:.1f} %",
    )
    axes.spines[["top", "right"]].set_visible(False)
