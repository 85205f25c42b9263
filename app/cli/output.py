"""How commands print what they found: as a table for people, or as JSON or CSV for programs."""

import csv
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

Json = Annotated[bool, typer.Option("--json", help="Print JSON, as the HTTP API answers it.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print comma-separated values.")]


def print_json(found: Any) -> None:
    """Print JSON, indented."""
    print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())


def print_csv(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows with the same keys, which are the header."""
    if rows:
        writer = csv.DictWriter(sys.stdout, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def print_table(rows: Sequence[Mapping[str, Any]], nothing: str) -> None:
    """Print rows with the same keys as a table, or say that there is nothing."""
    console = Console(highlight=False)
    if not rows:
        console.print(nothing, markup=False)
        return
    table = Table(box=None, header_style="dim", pad_edge=False)
    for column, value in rows[0].items():
        is_number = isinstance(value, (int, float))
        table.add_column(column, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(_shown(value)) for value in row.values()))
    console.print(table)


def _shown(value: Any) -> str:
    return "-" if value is None else str(value)
