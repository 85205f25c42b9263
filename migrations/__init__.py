"""The chain of migrations, run from code: `upgrade(url)` brings a database up to date."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext

from app.db.engine import make_engine


def config(url: str) -> Config:
    """Return Alembic's configuration for the database at a SQLAlchemy URL."""
    result = Config()
    # Relative to this package, so that an installed wheel finds its migrations.
    result.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    result.attributes["url"] = url
    return result


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database up to a revision. Does nothing if it is up to date."""
    command.upgrade(config(url), revision)


def downgrade(url: str, revision: str) -> None:
    """Take the database back to a revision; ``base`` is the empty database."""
    command.downgrade(config(url), revision)


def current(url: str) -> str | None:
    """Return the database's revision, None where it is empty."""
    engine = make_engine(url)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()
