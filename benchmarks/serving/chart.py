"""The servers side by side: CPU of a request, and the slowest hundredth of answers."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

_OWN, _OTHERS, _TEXT = "#2f8f68", "#b9c2cc", "#30363d"


def draw(workloads: Sequence[Mapping[str, Any]], target: Path) -> None:
    """Write a row of bars for each workload; the suffix of `target` decides the format."""
    figure = Figure(figsize=(11, 2.9 * len(workloads)), layout="constrained", dpi=130)
    figure.get_layout_engine().set(hspace=0.08)  # type: ignore[union-attr,call-arg]
    rows = figure.subplots(len(workloads), 2, width_ratios=(3, 2), squeeze=False)
    for (cpu, latency), workload in zip(rows, workloads, strict=True):
        servers = workload["servers"]
        ratios = {name: row["ratio"] for name, row in servers.items()}
        _bars(cpu, ratios, "{:.2f}")
        cpu.axvline(1, color=_TEXT, linewidth=1, linestyle=(0, (4, 3)))
        cpu.annotate(
            "bare forward", (1, 1), (4, 2), ("data", "axes fraction"), "offset points",
            fontsize=8, color=_TEXT, annotation_clip=False,
        )  # fmt: skip
        cpu.set_title(workload["what"], fontsize=11, loc="left", pad=16, color=_TEXT)
        cpu.set_xlabel("CPU time of a request, bare forward of the same network = 1", fontsize=9)
        _bars(latency, {name: row["p99_ms"] for name, row in servers.items()}, "{:.0f} ms")
        latency.set_yticklabels([])
        latency.set_xlabel("99th percentile of the time to an answer", fontsize=9)
    figure.savefig(target)


def _bars(axes: Axes, values: Mapping[str, float], form: str) -> None:
    names = list(values)[::-1]
    colours = [_OWN if name == "Accrue" else _OTHERS for name in names]
    axes.barh(names, [values[name] for name in names], 0.62, color=colours)
    for position, name in enumerate(names):
        axes.annotate(
            form.format(values[name]), (values[name], position), (5, 0), "data", "offset points",
            va="center", fontsize=9, color=_TEXT,
        )  # fmt: skip
    axes.set_xlim(right=1.2 * max(values.values()))
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False, labelsize=9, colors=_TEXT)
    axes.set_axisbelow(True)
    axes.grid(axis="x", alpha=0.25)
