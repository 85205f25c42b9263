"""PostgreSQL's session parameters, and conflicts that SQLite cannot have."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from app.db.engine import UNAVAILABLE, Database
from app.main import create_app
from app.settings import Settings
from tests.worker.harness import Service

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


def test_sessions_have_their_limits_whatever_was_rolled_back(database: Database) -> None:
    limits = "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"
    with database.reading() as session:
        session.rollback()
        shown = [session.scalar(text(f"SHOW {name}")) for name in limits]
        schema = session.scalar(text("SHOW search_path"))
    assert shown == ["1min", "15s", "5min"]
    assert schema.startswith("accrue_")  # what the URL asks for is still so


@pytest.mark.parametrize(
    "cause",
    [
        "SET LOCAL statement_timeout = 50; SELECT pg_sleep(5)",
        "SET LOCAL idle_in_transaction_session_timeout = 50",
    ],
)
def test_what_runs_into_a_limit_may_be_tried_again(database: Database, cause: str) -> None:
    idle = threading.Event()
    with pytest.raises(UNAVAILABLE), database.transaction() as session:
        session.execute(text(cause))
        idle.wait(1)
        session.execute(text("SELECT 1"))
    with database.reading() as session:
        assert session.scalar(text("SELECT 1")) == 1


def test_a_deadlock_is_answered_503(api: TestClient, service: Service, database: Database) -> None:
    service.classifier()
    first, second = sorted(service.upload(label, count=2) for label in "ab")
    lock = text("SELECT id FROM uploads WHERE id = :id FOR UPDATE")
    body = {"kind": "learn", "uploads": [first, second]}
    with ThreadPoolExecutor(1) as pool:
        with database.transaction() as session:
            # The other one notices: the deadlock, or on a busy machine that it waits too long.
            session.execute(text("SET LOCAL deadlock_timeout = '120s'"))
            session.execute(lock, {"id": second})
            answer = pool.submit(api.post, "/v1/classifiers/toy/jobs", json=body)
            waits = text(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN (SELECT pid FROM "
                "pg_stat_activity WHERE query LIKE '%uploads%' AND wait_event_type = 'Lock')"
            )
            while not session.scalar(waits):
                assert not answer.done()
            session.execute(lock, {"id": first})
        refused = answer.result()
    assert (refused.status_code, refused.json()["code"]) == (503, "database-unavailable")
    assert refused.headers["Retry-After"]
    assert api.post("/v1/classifiers/toy/jobs", json=body).status_code == 202


@pytest.fixture
def service(database: Database, settings: Settings) -> Service:
    return Service(database, settings)
