"""What a run has shown, as Markdown."""

from collections.abc import Mapping, Sequence

from tests.chaos.run import TITLES, Result


def markdown(results: Sequence[Result]) -> str:
    """Return a table with a column a run, and what was violated."""
    columns = [_column(result) for result in results]
    rows = list(dict.fromkeys(name for column in columns for name in column))
    lines = [
        _line("", [TITLES[result.backend] for result in results]),
        "|---|" + "---|" * len(results),
        *(_line(row, [column.get(row, "–") for column in columns]) for row in rows),
        "",
    ]
    for result in results:
        violated = [f"- {violation}" for violation in result.violations]
        lines += [f"{TITLES[result.backend]}: {len(violated) or 'no'} violations.", *violated, ""]
    return "\n".join(lines)


def _line(name: str, cells: Sequence[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"


def _column(result: Result) -> Mapping[str, str]:
    return {
        "seed": str(result.seed),
        "minutes": f"{result.seconds / 60:.1f}",
        "load of the machine": f"{result.load:.1f}",
        **_cells("jobs", result.counts),
        **_cells("", result.harm),
        **_cells("", result.logged),
        **_cells("", result.counts),
    }


def _cells(prefix: str, counts: Mapping[str, int]) -> Mapping[str, str]:
    """Return what begins so and has happened, in the order of its names."""
    chosen = {name: count for name, count in counts.items() if name.startswith(prefix) and count}
    return {name: str(count) for name, count in sorted(chosen.items())}
