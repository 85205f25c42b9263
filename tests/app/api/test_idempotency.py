"""Idempotency-Key: one thing made, one answer given."""

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.db.engine import Database
from app.db.repositories import idempotency as idempotency_rows
from app.db.tables import IdempotencyKey
from app.main import create_app
from app.services.access import idempotency
from app.services.access.idempotency import (
    IdempotencyKeyReusedError,
    ReplayedError,
    RequestInProgressError,
    RequestsInProgress,
)
from app.services.classifiers import classifiers
from app.services.upkeep.housekeeper import Housekeeper
from app.settings import Settings
from app.storage import BlobStore

URL = "/v1/classifiers"
KEY = {"Idempotency-Key": "k-1"}


def test_same_request_gets_its_first_answer(api: TestClient) -> None:
    first = api.post(URL, json={"name": "signs"}, headers=KEY)
    again = api.post(URL, json={"name": "signs"}, headers=KEY)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"


def test_other_payload_is_refused(api: TestClient) -> None:
    api.post(URL, json={"name": "signs"}, headers=KEY).raise_for_status()
    answer = api.post(URL, json={"name": "other"}, headers=KEY)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency-key-reused")


def test_failed_request_leaves_its_key_free(api: TestClient) -> None:
    assert api.post(URL, json={"name": "s", "method": "nope"}, headers=KEY).status_code == 422
    assert api.post(URL, json={"name": "signs"}, headers=KEY).status_code == 201


def test_requests_at_once_make_one_thing(api: TestClient) -> None:
    def post(_: int) -> int:
        return api.post(URL, json={"name": "signs"}, headers=KEY).status_code

    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(post, range(6)))
    assert set(statuses) <= {201, 409}
    assert 201 in statuses
    assert len(api.get(URL).json()["data"]) == 1


@pytest.fixture
def later(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[timedelta]]:
    """Moves the database's clock by what is put in."""
    moved = [timedelta()]
    clock = database.now
    monkeypatch.setattr(database, "now", lambda session: clock(session) + moved[0])
    yield moved


def test_a_key_in_progress_is_taken_and_free_again(api: TestClient, database: Database) -> None:
    in_progress: RequestsInProgress = api.app.state.in_progress  # type: ignore[attr-defined]
    body = b'{"name":"signs"}'
    fingerprint = hashlib.sha256(f"POST {URL}?\n".encode() + body).hexdigest()
    assert in_progress.enter("default", "k-1", fingerprint)
    headers = {**KEY, "Content-Type": "application/json"}
    answer = api.post(URL, content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (409, "request-in-progress")
    other = api.post(URL, json={"name": "other"}, headers=KEY)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    in_progress.leave("default", "k-1")
    assert api.post(URL, content=body, headers=headers).status_code == 201


def test_of_two_processes_at_one_key_the_second_sends_the_first_answer(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        TestClient(create_app(settings)) as quick,
        TestClient(create_app(settings)) as slow,
        ThreadPoolExecutor(1) as pool,
    ):
        begun, go_on = threading.Event(), threading.Event()
        create = classifiers.create

        def wait(*args: Any, **kwargs: Any) -> Any:
            if not begun.is_set():
                begun.set()
                assert go_on.wait(30)
            return create(*args, **kwargs)

        monkeypatch.setattr(classifiers, "create", wait)
        late = pool.submit(slow.post, URL, json={"name": "signs"}, headers=KEY)
        assert begun.wait(30)
        first = quick.post(URL, json={"name": "signs"}, headers=KEY)
        go_on.set()
        answer = late.result()
        assert (first.status_code, answer.status_code) == (201, 201)
        assert answer.json() == first.json()
        assert answer.headers["idempotency-replayed"] == "true"
        assert len(quick.get(URL).json()["data"]) == 1


def test_the_second_to_commit_makes_nothing(database: Database) -> None:
    first = idempotency.begin(database, "default", "k", "f")
    second = idempotency.begin(database, "default", "k", "f")
    with database.transaction() as session:
        first.store_answer(session, 201, {"made": "by the first"})
    with pytest.raises(RequestInProgressError), database.transaction() as session:
        second.store_answer(session, 201, {})
    with pytest.raises(ReplayedError) as replayed:
        idempotency.begin(database, "default", "k", "f")
    assert replayed.value.body == '{"made":"by the first"}'
    with pytest.raises(IdempotencyKeyReusedError):
        idempotency.begin(database, "default", "k", "other")


def test_keys_are_deleted_after_a_day(
    database: Database, store: BlobStore, settings: Settings, later: list[timedelta]
) -> None:
    def answer(key: str, body: str) -> None:
        once = idempotency.begin(database, "default", key, "f")
        with database.transaction() as session:
            once.store_answer(session, 201, body)

    answer("again", "first")
    answer("gone", "first")
    later[0] = idempotency_rows.ANSWER_LIFETIME + timedelta(seconds=1)
    answer("again", "second")
    Housekeeper(database, store, settings).tick()
    with database.reading() as session:
        found = {row.key: row.body for row in session.scalars(select(IdempotencyKey))}
    assert found == {"again": '"second"'}
