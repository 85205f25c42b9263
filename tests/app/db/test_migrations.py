"""The chain of migrations creates exactly the tables that the code declares."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect

import migrations
from app.db.engine import make_engine
from app.db.tables import Base

NewDatabase = Callable[[str], str]


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> NewDatabase:
    """A function from a name to the URL of an empty database."""
    if request.param == "sqlite":
        return lambda name: f"sqlite:///{tmp_path / name}.db"
    make = request.getfixturevalue("new_postgres_schema")
    return lambda _name: make()


def tables(engine: Engine) -> dict[str, Any]:
    """The database's tables, columns and constraints, in a form that can be compared."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(value[key]) for key in value}
        return str(value)

    def by_name(rows: Any) -> list[Any]:
        # The order in which constraints come back says nothing.
        return sorted((plain(row) for row in rows), key=str)

    inspector = inspect(engine)
    return {
        name: {
            "columns": by_name(inspector.get_columns(name)),
            "primary key": str(inspector.get_pk_constraint(name)),
            "foreign keys": by_name(inspector.get_foreign_keys(name)),
            "unique": by_name(inspector.get_unique_constraints(name)),
            "checks": by_name(inspector.get_check_constraints(name)),
            "indexes": by_name(inspector.get_indexes(name)),
        }
        for name in inspector.get_table_names()
        if name != "alembic_version"
    }


def test_there_is_one_head() -> None:
    script = ScriptDirectory.from_config(migrations.config("sqlite://"))
    assert len(script.get_heads()) == 1


def test_up_down_up(new_url: NewDatabase) -> None:
    url = new_url("up-down-up")
    engine = make_engine(url)
    assert migrations.current(url) is None
    migrations.upgrade(url)
    first = tables(engine)
    assert first
    assert migrations.current(url) is not None
    migrations.upgrade(url)  # once more changes nothing
    migrations.downgrade(url, "base")
    assert tables(engine) == {}
    assert migrations.current(url) is None
    migrations.upgrade(url)
    assert tables(engine) == first
    engine.dispose()


def test_migrations_equal_the_declared_tables(new_url: NewDatabase) -> None:
    migrated_url = new_url("migrated")
    migrations.upgrade(migrated_url)
    migrated, declared = make_engine(migrated_url), make_engine(new_url("declared"))
    Base.metadata.create_all(declared)
    assert tables(migrated) == tables(declared)
    with migrated.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    migrated.dispose()
    declared.dispose()
