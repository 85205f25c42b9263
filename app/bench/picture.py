"""The comparison as a picture: accuracy after each task, and what was forgotten at the end."""

from pathlib import Path
from statistics import fmean

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from app.bench.course import Course
from app.bench.results import Results
from models.matrices import Row, average

FORMATS = (".png", ".svg", ".pdf")
Colours = dict[str, tuple[float, float, float, float]]


def draw(results: Results, target: Path) -> None:
    """Write accuracy curves without and with the task given, and bars of forgetting.

    The suffix of `target` decides the format: see `FORMATS`.
    """
    taught = results.taught
    palette = colormaps["tab10" if len(taught) <= 10 else "tab20"]
    colours = {title: palette(index) for index, title in enumerate(taught)}
    # Each title stands beside both curves and before its bars.
    longest = max((len(title) for title in taught), default=0)
    size = 13 + 0.2 * longest, 5 + 0.1 * len(taught)
    figure = Figure(figsize=size, layout="constrained", dpi=130)
    alone, aware, lost = figure.subplots(1, 3, width_ratios=(4, 4, 3))
    _curves(alone, {t: [c.accuracies for c in courses] for t, courses in taught.items()}, colours)
    alone.set_title("all classes so far")
    _curves(
        aware, {t: [c.aware_accuracies for c in courses] for t, courses in taught.items()}, colours
    )
    aware.set_title("the same with the task given")
    _bars(lost, taught, colours)
    figure.suptitle(results.plan.title, fontsize=13)
    figure.savefig(target)


def _curves(axes: Axes, series: dict[str, list[Row]], colours: Colours) -> None:
    ends = {}
    for title, runs in series.items():
        steps = [
            (step, [100 * value for value in values if value is not None])
            for step, values in enumerate(zip(*runs, strict=True), start=1)
        ]
        measured = [(step, values) for step, values in steps if values]
        if not measured:
            continue
        at = [step for step, _ in measured]
        mean = [fmean(values) for _, values in measured]
        axes.plot(at, mean, "o-", color=colours[title], markersize=3, linewidth=1.6)
        if len(runs) > 1:
            low, high = ([pick(values) for _, values in measured] for pick in (min, max))
            axes.fill_between(at, low, high, color=colours[title], alpha=0.15, linewidth=0)
        ends[title] = (at[-1], mean[-1])
    for title, height in _apart({title: end for title, (_, end) in ends.items()}).items():
        axes.annotate(
            f"{title}  {ends[title][1]:.0f}",
            (ends[title][0], height),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=colours[title],
            annotation_clip=False,
        )
    axes.set(xlabel="after learning task", ylabel="accuracy in %", ylim=(0, 100))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _apart(heights: dict[str, float], gap: float = 3.6, top: float = 100.0) -> dict[str, float]:
    """Move labels up from the lowest, just far enough that none covers another.

    Those that would be above `top` are moved down again, with those below them.
    """
    moved: dict[str, float] = {}
    below = -gap
    for title, height in sorted(heights.items(), key=lambda item: item[1]):
        below = max(height, below + gap)
        moved[title] = below
    above = top + gap
    for title in reversed(moved):
        above = moved[title] = min(moved[title], above - gap)
    return moved


def _bars(axes: Axes, taught: dict[str, list[Course]], colours: Colours) -> None:
    for position, (title, courses) in enumerate(reversed(taught.items())):
        for offset, key, alpha in ((0.2, "forgetting", 1.0), (-0.2, "aware_forgetting", 0.45)):
            mean = average([getattr(course, key) for course in courses])
            if mean is not None:
                value = 100 * mean
                axes.barh(position + offset, value, 0.38, color=colours[title], alpha=alpha)
                axes.annotate(
                    f"{round(value)}",
                    (max(value, 0), position + offset),
                    xytext=(4, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=7,
                )
    axes.set_yticks(range(len(taught)), list(reversed(taught)), fontsize=8)
    # Bars of little forgetting stay short.
    axes.set_xlim(right=max(25, axes.get_xlim()[1]))
    axes.set(title="forgetting", xlabel="points lost; pale: with the task given")
    axes.spines[["top", "right"]].set_visible(False)
