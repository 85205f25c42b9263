"""Accuracy matrices and predictions as tables for the terminal."""

from collections.abc import Sequence
from typing import Any

from rich.columns import Columns
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from app.client.text import forgetting_phrase, percent
from app.demo.teaching import TaughtClassifier


def matrices(classifiers: Sequence[TaughtClassifier]) -> Columns:
    """Return the accuracy matrices, side by side if the terminal is wide enough."""
    return Columns([_matrix(taught) for taught in classifiers], padding=(0, 2))


def _matrix(taught: TaughtClassifier) -> Table:
    table = Table(
        title=f"[bold]{taught.name}[/]",
        title_style="",
        title_justify="left",
        caption=f"average {percent(taught.average)}, {forgetting_phrase(taught.forgetting)}",
        caption_justify="left",
        box=None,
        padding=(0, 0),
        header_style="dim",
    )
    table.add_column("after", style="dim", justify="center", width=5)
    for task in range(len(taught.matrix)):
        table.add_column(f"{task + 1} ", justify="right", width=5)
    table.add_column("all", justify="right", width=5)
    for step, row in enumerate(taught.matrix):
        empty = [Text()] * (len(taught.matrix) - len(row))
        cells = [_heat(accuracy) for accuracy in row]
        table.add_row(str(step + 1), *cells, *empty, f"{100 * taught.accuracies[step]:.0f}")
    return table


def _heat(accuracy: float) -> Text:
    """Return a percentage on a background from red (0) over yellow to green (1)."""
    red = round(255 * min(1.0, 2 - 2 * accuracy) * 0.75)
    green = round(255 * min(1.0, 2 * accuracy) * 0.6)
    return Text(f"{100 * accuracy:.0f} ", style=f"bold white on rgb({red},{green},40)")


def predictions(
    rows: Sequence[tuple[str, Sequence[dict[str, Any]]]], names: Sequence[str]
) -> Table:
    """Return what each classifier predicts for one held-out image of each class."""
    table = Table("image of", *(f"{name} says" for name in names), box=None, header_style="dim")
    for label, results in rows:
        cells = [
            f"[{'green' if one['label'] == label else 'red'}]{escape(one['label'])}[/] "
            f"[dim]{percent(one['score'])}[/]"
            for one in results
        ]
        table.add_row(f"[bold]{escape(label)}[/]", *cells)
    return table
