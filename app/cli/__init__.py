"""The command `accrue`: runs the service, and is its client on the command line.

Client commands must start fast: nothing here imports PyTorch, and commands import what runs the
service only when they are called.
"""

from importlib import metadata
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from app.cli import choices, classifiers, jobs, keys, server, storage
from app.cli.advise import advise
from app.cli.backup import backup, restore
from app.cli.bench import bench
from app.cli.correct import correct
from app.cli.demo import demo
from app.cli.doctor import doctor
from app.cli.evaluate import evaluate
from app.cli.forget import forget
from app.cli.learn import learn
from app.cli.predict import predict
from app.cli.show import show
from app.cli.versions import rollback, versions
from app.client.errors import CommandError

__all__ = ["main"]

_commands = typer.Typer(
    name="accrue",
    no_args_is_help=True,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _panel, _functions in (
    ("Run the service", (demo, server.up, server.serve, server.worker, server.migrate)),
    ("Maintain it", (doctor, backup, restore, storage.sweep, storage.reindex)),
    (
        "Use a running service",
        (
            advise,
            learn,
            predict,
            show,
            evaluate,
            correct,
            versions,
            rollback,
            forget,
            classifiers.alias,
            classifiers.export,
            classifiers.delete,
            jobs.jobs,
            jobs.watch,
            jobs.cancel,
            jobs.retry,
            choices.methods,
            choices.backbones,
            bench,
        ),
    ),
):
    for _function in _functions:
        _commands.command(rich_help_panel=_panel)(_function)
_commands.command("list", rich_help_panel="Use a running service")(classifiers.list_classifiers)
_commands.add_typer(keys.commands, rich_help_panel="Maintain it")


@_commands.callback()
def _whole(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version of Accrue and exit.")
    ] = False,
) -> None:
    """Teach an image classifier new classes without forgetting the old ones, and serve it."""
    if version:
        print(f"accrue {metadata.version('accrue')}")
        raise typer.Exit


def main() -> None:
    """Run the command line. A CommandError ends it with its message and exit status 1."""
    try:
        _commands()
    except CommandError as error:
        # Not wrapped: terminals do that, and programs want whole lines.
        Console(stderr=True, highlight=False).print(
            f"[red]error:[/] {escape(str(error))}", soft_wrap=True
        )
        raise SystemExit(1) from None
