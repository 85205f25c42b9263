"""What the pages say of backups is what the commands and settings do."""

import re
from pathlib import Path

import typer.main

from app.cli import _commands
from app.services.upkeep import backup
from app.settings import Settings
from tests.docs.pages import ROOT, section


def test_commands_in_containers_are_commands() -> None:
    """`docker compose run … worker COMMAND …` runs `accrue COMMAND …` with paths that it mounts."""
    text = (ROOT / "docs/deployment.md").read_text()
    known = typer.main.get_command(_commands).commands  # type: ignore[attr-defined]
    runs = re.findall(r'^docker compose run .*-v "\$PWD/\w+:(/\w+)" worker (\w+) (\S+)', text, re.M)
    assert {command for _, command, _ in runs} == {"backup", "restore"}
    for mounted, command, folder in runs:
        assert command in known
        assert Path(folder).is_relative_to(mounted)


def test_the_lock_and_the_grace_of_a_backup() -> None:
    grace = f"{Settings.model_fields['sweep_grace_hours'].default:g}"
    shown = section("operations.md", "## Backup and restore")
    assert f"`ACCRUE_SWEEP_GRACE_HOURS` ({grace})" in shown
    assert f"`{backup._MARK}`" in shown
    assert {1: "once", 5: "five times"}[backup._TRIES] in shown
    assert f"`ACCRUE_SWEEP_GRACE_HOURS` ({grace})" in section(
        "deployment.md", "## Backup and restore"
    )
