"""Readiness where what the service needs answers, and is not whole."""

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from app.db.damage import DamageMetError
from app.db.engine import UNAVAILABLE, Database
from app.main import create_app
from app.services.upkeep.inspector import Inspector
from app.settings import Settings
from app.storage import BlobStore
from tests.app.learnt import Published
from tests.e2e.harness import wait_for

Publish = Callable[..., Published]
sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_both_storages = pytest.mark.parametrize("storage_url", ["folder", "s3"], indirect=True)


@sqlite_only
@on_both_storages
def test_tensors_of_the_live_version_are_missing(
    api: TestClient, publish: Publish, store: BlobStore
) -> None:
    older, live = publish(0), publish(1)
    inspector: Inspector = api.app.state.inspector  # type: ignore[attr-defined]
    inspector.look()
    assert api.get("/health/ready").status_code == 200
    for only_older in set(older.parts.values()) - set(live.parts.values()):
        store.delete(only_older)
    inspector.look()
    assert api.get("/health/ready").status_code == 200, "nobody is served by it"
    lost = live.parts["head.1"]
    data = store.get(lost)
    store.delete(lost)
    inspector.look()
    answer = api.get("/health/ready")
    assert (answer.status_code, answer.json()["code"]) == (503, "not-ready")
    (error,) = answer.json()["errors"]
    assert error == {
        "pointer": "/versions",
        "detail": "1 tensors that aliases need are not in the storage",
    }
    assert "signs" not in answer.text, "everybody may ask"
    store.put(data)
    inspector.look()
    assert api.get("/health/ready").status_code == 200


def damage(database_url: str, table: str) -> None:
    """Overwrite the first page of a table, and of its indexes."""
    path = Path(database_url.removeprefix("sqlite:///"))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        query = "SELECT rootpage FROM sqlite_schema WHERE tbl_name = ?"
        pages = connection.execute(query, [table]).fetchall()
    data = bytearray(path.read_bytes())
    for (page,) in pages:
        data[(page - 1) * 4096 : page * 4096] = os.urandom(4096)
    path.write_bytes(data)


@sqlite_only
def test_a_damaged_file_of_the_database_is_found_at_the_start(
    settings: Settings, database: Database, database_url: str
) -> None:
    database.close()
    # Of a table that the first requests do not need.
    damage(database_url, "trained_images")
    with TestClient(create_app(settings), raise_server_exceptions=False) as api:

        def found() -> bool:
            answer = api.get("/health/ready")
            return (
                answer.status_code == 503
                and {
                    "pointer": "/database",
                    "detail": "DatabaseDamaged",
                }
                in answer.json()["errors"]
            )

        wait_for(found, 20)


@sqlite_only
def test_what_was_mended_shows_soon_however_long_a_look_takes(
    database: Database, store: BlobStore
) -> None:
    """A look of 20 s, at thousands of tensors in a bucket, is repeated after minutes, not hours."""
    inspector = Inspector(database, store)
    assert inspector.pause(20) == 20_000
    inspector.findings = {"versions": "1 tensors that aliases need are not in the storage"}
    assert inspector.pause(20) == 200
    assert inspector.pause(0.01) == 30


@sqlite_only
def test_a_request_that_meets_damage_is_told_the_remedy_and_readiness_tells_it(
    settings: Settings, database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.close()
    damage(database_url, "uploads")
    # A large file is looked at rarely.
    monkeypatch.setattr(Inspector, "look", lambda _: None)
    with TestClient(create_app(settings), raise_server_exceptions=False) as api:
        assert api.get("/health/ready").status_code == 200
        answer = api.get("/v1/uploads")
        assert (answer.status_code, answer.json()["code"]) == (503, "database-damaged")
        for remedy in ("accrue doctor --deep", "accrue restore"):
            assert remedy in answer.json()["detail"]
        assert api.get("/v1/classifiers").status_code == 200
        ready = api.get("/health/ready")
        assert ready.status_code == 503
        assert ready.json()["errors"] == [{"pointer": "/database", "detail": "DatabaseDamaged"}]
        assert "accrue restore" in ready.json()["detail"]


@sqlite_only
def test_damage_that_ends_a_look_is_found(
    database: Database, database_url: str, store: BlobStore
) -> None:
    database.close()
    damage(database_url, "aliases")
    inspector = Inspector(database, store)
    with contextlib.suppress(DamageMetError):
        inspector.look()
    assert inspector.findings == {"database": "DatabaseDamaged"}


@sqlite_only
def test_a_file_that_is_no_database_is_damaged(database: Database, database_url: str) -> None:
    database.close()
    Path(database_url.removeprefix("sqlite:///")).write_bytes(b"x" * 8192)
    with pytest.raises(DamageMetError), database.reading() as session:
        session.execute(text("SELECT id FROM uploads"))


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_damage_that_postgresql_reports(database: Database) -> None:
    with pytest.raises(DamageMetError) as raised, database.reading() as session:
        session.execute(text("DO $$ BEGIN RAISE 'bad page' USING ERRCODE = 'XX001'; END $$"))
    assert not isinstance(raised.value, UNAVAILABLE), "waiting does not help"
