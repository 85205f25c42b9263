"""`accrue up` and `accrue migrate` with databases that they must leave alone."""

from pathlib import Path

import pytest
from sqlalchemy import text

from app.cli.server import migrate_database, open_database
from app.client.errors import CommandError
from app.db.engine import make_engine
from app.settings import Settings


def test_a_newer_schema_is_refused_with_what_to_do(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    migrate_database(settings)
    engine = make_engine(settings.database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(CommandError, match=r"schema 9999, .* restore the backup") as refused:
        migrate_database(settings)
    assert "accrue.db" in str(refused.value)
    with engine.begin() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "9999"
    engine.dispose()


def test_a_damaged_database_is_refused_with_what_to_do(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    tmp_path.joinpath("accrue.db").write_bytes(b"no database" * 1000)
    with pytest.raises(CommandError, match=r"is damaged: .*accrue restore --replace"):
        migrate_database(settings)
    with pytest.raises(CommandError, match="is damaged") as refused, open_database(settings) as db:
        db.engine.connect()
    assert "accrue migrate" not in str(refused.value)
