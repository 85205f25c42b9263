"""The accuracy matrices and the accuracy after each task, as one picture."""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from app.demo.teaching import TaughtClassifier

_HEAT = LinearSegmentedColormap.from_list("heat", ["#b5403a", "#e8b44f", "#2f8f68"])
_COLORS = {"finetune": "#b5403a", "icarl": "#2f8f68", "analytic": "#3467a8"}


# Of a curve's name, in percent of the axis.
_NAME_HEIGHT = 6


def draw(classifiers: Sequence[TaughtClassifier], subject: str, target: Path) -> None:
    """Write a heat map for each classifier, and curves of the accuracy over all classes."""
    with mpl.rc_context({"axes.titlesize": 12, "axes.titleweight": "bold"}):
        figure = Figure(figsize=(4.2 * (len(classifiers) + 1), 4.4), layout="constrained", dpi=150)
        *maps, curve = figure.subplots(1, len(classifiers) + 1)
        for axes, taught in zip(maps, classifiers, strict=True):
            _draw_matrix(axes, taught)
        _draw_curves(curve, classifiers)
        figure.suptitle(f"{subject}: accuracy on held-out images in %", fontsize=13)
        figure.savefig(target)


def _draw_matrix(axes: Axes, taught: TaughtClassifier) -> None:
    count = len(taught.matrix)
    cells = np.full((count, count), np.nan)
    for step, row in enumerate(taught.matrix):
        cells[step, : len(row)] = row
    axes.pcolormesh(
        np.ma.masked_invalid(cells), vmin=0, vmax=1, cmap=_HEAT, edgecolor="white", linewidth=2
    )
    for (step, task), value in np.ndenumerate(cells):
        if not np.isnan(value):
            axes.text(
                task + 0.5,
                step + 0.5,
                f"{100 * value:.0f}",
                ha="center",
                va="center",
                color="white",
                fontweight="bold",
            )
    ticks, names = np.arange(count) + 0.5, [str(task + 1) for task in range(count)]
    axes.set_xticks(ticks, names)
    axes.set_yticks(ticks, names)
    axes.set(title=taught.name, xlabel="measured on task", ylabel="after learning task")
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _draw_curves(axes: Axes, classifiers: Sequence[TaughtClassifier]) -> None:
    above = math.inf
    for taught in sorted(classifiers, key=lambda taught: -taught.accuracies[-1]):
        steps = range(1, len(taught.accuracies) + 1)
        percent = [100 * accuracy for accuracy in taught.accuracies]
        color = _COLORS[taught.name]
        axes.plot(steps, percent, "o-", color=color, linewidth=2, clip_on=False)
        # Below the name above it, where two curves end close to each other.
        above = min(percent[-1], above - _NAME_HEIGHT)
        axes.annotate(
            f"{taught.name} {percent[-1]:.0f} %",
            (steps[-1], above),
            xytext=(10, 0),
            textcoords="offset points",
            va="center",
            color=color,
            fontweight="bold",
            annotation_clip=False,
        )
    axes.set_xticks(range(1, len(classifiers[0].accuracies) + 1))
    axes.set(title="on all classes so far", xlabel="after learning task", ylabel="accuracy in %")
    axes.set_ylim(0, 100)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
