"""``make migration NAME=add_colour``: write the migration from the chain to the declared tables."""

import sys
import tempfile
from pathlib import Path
from typing import Any

from alembic import command
from alembic.script import Script, ScriptDirectory

import migrations


def write_migration(name: str, folder: Path) -> Path:
    """Write the next migration of the chain and return its path.

    Alembic compares the declared tables with a SQLite database in `folder` that has all migrations.
    Raises ValueError where the two are equal.
    """
    url = f"sqlite:///{folder / 'migrated.db'}"
    migrations.upgrade(url)
    config = migrations.config(url)
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    head = ScriptDirectory.from_config(config).get_current_head()
    written = command.revision(
        config,
        message=name.replace("_", " ").capitalize(),
        rev_id=f"{int(head or 0) + 1:04}",
        autogenerate=True,
        process_revision_directives=_skip_empty,
    )
    if not isinstance(written, Script):
        raise ValueError("app/db/tables declares nothing new: change a table there first.")
    path = Path(written.path)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "# ### " not in line))  # Alembic's remarks
    return path


def _skip_empty(_context: Any, _revision: Any, directives: list[Any]) -> None:
    if directives[0].upgrade_ops.is_empty():
        directives.clear()


def _main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            print(write_migration(sys.argv[1], Path(folder)))
        except ValueError as error:
            raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    _main()
