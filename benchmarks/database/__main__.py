"""What lists and polls cost when the database is full, on SQLite and on PostgreSQL.

    python -m benchmarks.database

Fills a database of each kind, then asks each route through the application, without a network.
Prints queries and CPU milliseconds of each, with those of the server where that is PostgreSQL, and
writes benchmarks/results/database.json. `--small` has a hundredth of the rows. PostgreSQL is that
of ACCRUE_TEST_POSTGRES; a schema is made there, and dropped.
"""

import argparse
import json
import os
import platform
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import make_url

import migrations
from app.db.engine import make_engine
from benchmarks.database.asking import Cost, costs
from benchmarks.database.rows import Size, fill

RESULTS = Path(__file__).parents[1] / "results" / "database.json"
POSTGRES = os.environ.get("ACCRUE_TEST_POSTGRES", "postgresql://root@127.0.0.1:5432/test")
GOAL_MS, GOAL_QUERIES = 20, 10


def main() -> None:
    """Fill, ask, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    small = parser.parse_args().small
    size = Size(100, 100, 1000, 50, 10, 10_000) if small else Size()
    found: dict[str, dict[str, Cost]] = {}
    for kind, database in (("sqlite", sqlite()), ("postgresql", postgresql())):
        with database as url:
            migrations.upgrade(url)
            engine = make_engine(url)
            fill(engine, size)
            engine.dispose()
            found[kind] = costs(url, size)
    report(found)
    if not small:
        write(found, size)


@contextmanager
def sqlite() -> Iterator[str]:
    """Give the URL of a new SQLite file."""
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{folder}/accrue.db"


@contextmanager
def postgresql() -> Iterator[str]:
    """Give the URL of a new schema, which is dropped afterwards."""
    engine = make_engine(POSTGRES)
    name = f"accrue_benchmark_{secrets.token_hex(4)}"
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA {name}")
    try:
        options = f"-csearch_path={name} -csynchronous_commit=off"
        url = make_url(POSTGRES).update_query_dict({"options": options})
        yield url.render_as_string(hide_password=False)
    finally:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"DROP SCHEMA {name} CASCADE")
        engine.dispose()


def report(found: dict[str, dict[str, Cost]]) -> None:
    """Print a row for each route."""
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("route")
    for kind in found:
        table.add_column(f"{kind}: queries", justify="right")
        table.add_column("CPU ms", justify="right")
        table.add_column("kB", justify="right")
    for route in next(iter(found.values())):
        cells = []
        for of_route in (asked[route] for asked in found.values()):
            late = of_route.cpu_ms > GOAL_MS or of_route.queries > GOAL_QUERIES
            colour = "red" if late else "green"
            cells += [
                str(of_route.queries),
                f"[{colour}]{of_route.cpu_ms:.1f}[/]",
                f"{of_route.bytes / 1000:.1f}",
            ]
        table.add_row(route, *cells)
    Console(width=120).print(table)


def write(found: dict[str, dict[str, Cost]], size: Size) -> None:
    """Write what was found, with the machine and the commit."""
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    result: dict[str, Any] = {
        "machine": {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "commit": commit.stdout.strip(),
        "rows": asdict(size),
        "goals": {"cpu_ms": GOAL_MS, "queries": GOAL_QUERIES},
        "routes": {
            kind: {route: cost._asdict() for route, cost in asked.items()}
            for kind, asked in found.items()
        },
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
