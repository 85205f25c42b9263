"""Readiness where what the service needs answers, and is not whole."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.db.engine import Database
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


@sqlite_only
def test_a_damaged_file_of_the_database_is_found_at_the_start(
    settings: Settings, database: Database, database_url: str
) -> None:
    database.close()
    path = Path(database_url.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(path)) as connection:
        # Of a table that the first requests do not need.
        query = "SELECT rootpage FROM sqlite_schema WHERE name = 'trained_images'"
        ((page,),) = connection.execute(query).fetchall()
    data = bytearray(path.read_bytes())
    data[(page - 1) * 4096 : page * 4096] = os.urandom(4096)
    path.write_bytes(data)
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
