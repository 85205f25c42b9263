"""The chain of migrations creates exactly the tables that the code declares."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, select, text

import migrations
from app.db.engine import Database, make_engine
from app.db.tables import Base, Job, JobEvent, TrainedImage, Upload

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


def test_uploads_from_before_are_summed_up(new_url: NewDatabase) -> None:
    url = new_url("before")
    migrations.upgrade(url)
    migrations.downgrade(url, "0009")
    engine = make_engine(url)
    names = ("a", "b", "c", "d")
    listed = [{"name": "x", "reason": "empty"}]
    listed += [{"name": name, "reason": f"too many pixels ({name})"} for name in names]
    row = {"id": "upl_1", "workspace": "default", "duplicates": 0, "created_at": "2026-01-01"}
    with engine.begin() as connection:
        for identifier, rejected in (("upl_1", listed), ("upl_2", [])):
            connection.execute(
                text(
                    "INSERT INTO uploads (id, workspace, duplicates, rejected, created_at) "
                    "VALUES (:id, :workspace, :duplicates, :rejected, :created_at)"
                ),
                {**row, "id": identifier, "rejected": json.dumps(rejected)},
            )
    migrations.upgrade(url)
    with engine.connect() as connection:
        columns = (Upload.rejected_count, Upload.rejected_reasons, Upload.empty_classes)
        found = connection.execute(select(*columns).order_by(Upload.id)).all()
    assert [tuple(each) for each in found] == [
        (
            5,
            [
                {"reason": "too many pixels", "count": 4, "examples": ["a", "b", "c"]},
                {"reason": "empty", "count": 1, "examples": ["x"]},
            ],
            [],
        ),
        (0, [], []),
    ]
    engine.dispose()


def test_what_was_trained_on_before_gets_its_class(new_url: NewDatabase) -> None:
    url = new_url("trained")
    migrations.upgrade(url)
    migrations.downgrade(url, "0014")
    engine = make_engine(url)
    rows = (
        "INSERT INTO classifiers (id, workspace, name, spec, last_version, created_at) "
        "VALUES ('cls_1', 'default', 'toy', '{}', 1, '2026-01-01')",
        "INSERT INTO versions (id, classifier_id, number, method, spec, metrics, memory, "
        "created_at) VALUES ('ver_1', 'cls_1', 1, 'icarl', '{}', '{}', '{}', '2026-01-01')",
        'INSERT INTO version_classes (version_id, "index", label, task, train_images, kept) '
        "VALUES ('ver_1', 4, 'a', 1, 1, 0)",
        # The second was taken over from a version whose class this one has forgotten.
        "INSERT INTO trained_images (version_id, label, sha256) "
        "VALUES ('ver_1', 'a', 'one'), ('ver_1', 'b', 'two')",
    )
    with engine.begin() as connection:
        for row in rows:
            connection.execute(text(row))
    migrations.upgrade(url)
    columns = (TrainedImage.label, TrainedImage.class_index, TrainedImage.taken_out)
    with engine.connect() as connection:
        found = connection.execute(select(*columns).order_by(TrainedImage.label)).all()
    assert [tuple(each) for each in found] == [("a", 4, False), ("b", None, False)]
    engine.dispose()


def test_jobs_without_a_classifier_go_with_their_release(new_url: NewDatabase) -> None:
    url = new_url("without-classifier")
    migrations.upgrade(url)
    engine = make_engine(url)
    with Database(url).transaction() as session:
        now = datetime.now(UTC)
        session.add(Job(id="job_1", kind="advise", request={}, created_at=now))
        session.flush()
        session.add(JobEvent(job_id="job_1", seq=1, at=now, type="created", message="Queued."))
    migrations.downgrade(url, "0014")
    with engine.connect() as connection:
        for table in ("jobs", "job_events"):
            assert connection.scalar(text(f"SELECT count(*) FROM {table}")) == 0
    engine.dispose()


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_make_migration_writes_what_was_declared(tmp_path: Path) -> None:
    """What `make migration` runs, on a copy of the tree that declares columns."""
    root = Path(migrations.__file__).parents[1]
    for name in ("app", "migrations"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(root / name, tmp_path / name, ignore=ignored)
    table = tmp_path / "app" / "db" / "tables" / "keys.py"
    columns = """
    colour: Mapped[str] = mapped_column(String(32), server_default="grey")
    painted_at: Mapped[datetime | None]
    """
    table.write_text(table.read_text() + columns)
    before = set((tmp_path / "migrations" / "versions").glob("*.py"))
    done = run(tmp_path, "-m", "migrations", "add_colour")
    assert done.returncode == 0, done.stderr
    (new,) = set((tmp_path / "migrations" / "versions").glob("*.py")) - before
    assert new.name == f"{len(before) + 1:04}_add_colour.py"
    assert "# ###" not in new.read_text()
    again = run(tmp_path, "-m", "migrations", "nothing")
    assert again.returncode == 1
    assert "declares nothing new" in again.stderr
    down = "import migrations as m; url = 'sqlite:///x'; m.upgrade(url); m.downgrade(url, 'base')"
    assert run(tmp_path, "-c", down).returncode == 0
