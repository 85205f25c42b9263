"""`accrue doctor`: shows what is wrong with an installation, and what to do."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.cli.listening import url_of
from app.cli.server import DataDir, make_settings
from app.client.errors import CommandError

if TYPE_CHECKING:
    from app.doctor.findings import Finding

_MARKS = {
    "ok": Text("ok", "green"),
    "warning": Text("warning", "yellow"),
    "problem": Text("problem", "bold red"),
    "skipped": Text("skipped", "dim"),
}


def doctor(
    url: Annotated[
        str | None,
        typer.Option(envvar="ACCRUE_URL", help="URL of the API.", show_default="from the settings"),
    ] = None,
    data_dir: DataDir = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also read and check every stored image and tensor.")
    ] = False,
) -> None:
    """Check this installation; show what is wrong and what to do. Exit status 1: problems."""
    from app.doctor.examination import examine  # noqa: PLC0415 - loads what runs the service
    from app.doctor.findings import CheckContext, Finding  # noqa: PLC0415

    try:
        settings = make_settings(data_dir=data_dir)
    except CommandError as error:
        help_ = "Correct these variables; docs/operations.md lists the settings."
        findings = [Finding("settings", "problem", " ".join(str(error).split()), help_)]
    else:
        findings = list(examine(CheckContext(settings, url or url_of(settings), deep=deep)))
    problems = sum(finding.state == "problem" for finding in findings)
    if as_json:
        answer = {"ok": not problems, "findings": [asdict(finding) for finding in findings]}
        print(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode())
    else:
        _show(findings, problems)
    raise typer.Exit(1 if problems else 0)


def _show(findings: "list[Finding]", problems: int) -> None:
    console = Console(highlight=False)
    table = Table(box=None, header_style="dim")
    for column in ("", "what", "finding"):
        table.add_column(column)
    for finding in findings:
        cell = Text(finding.what)
        if finding.help:
            cell.append(f"\n{finding.help}", "dim")
        table.add_row(_MARKS[finding.state], Text(finding.check), cell)
    console.print(table)
    warnings = sum(finding.state == "warning" for finding in findings)
    console.print(f"\n{_counted(problems, 'problem')}, {_counted(warnings, 'warning')}.")


def _counted(count: int, what: str) -> str:
    return f"{count or 'no'} {what}{'' if count == 1 else 's'}"
