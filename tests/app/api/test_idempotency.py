"""Idempotency-Key: one thing made, one answer given."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient

from app.api import idempotency
from app.api.idempotency import (
    ABANDONED_AFTER,
    KEPT_FOR,
    IdempotencyKeyReusedError,
    ReplayedError,
    RequestInProgressError,
)
from app.db.engine import Database
from app.db.repositories import idempotency as keys

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


def test_key_under_way_and_abandoned(database: Database, later: list[timedelta]) -> None:
    first = idempotency.begin(database, "default", "k", "f")
    with pytest.raises(RequestInProgressError):
        idempotency.begin(database, "default", "k", "f")
    with pytest.raises(IdempotencyKeyReusedError):
        idempotency.begin(database, "default", "k", "other")
    later[0] = ABANDONED_AFTER
    second = idempotency.begin(database, "default", "k", "f")
    # The first request, alive after all, may no longer make anything.
    with pytest.raises(RequestInProgressError), database.transaction() as session:
        first.remember(session, 201, {})
    idempotency.release(database, first)
    with database.transaction() as session:
        second.remember(session, 201, {"made": "by the second"})
    with pytest.raises(ReplayedError) as replayed:
        idempotency.begin(database, "default", "k", "f")
    assert replayed.value.response.body == b'{"made":"by the second"}'


def test_keys_are_forgotten_after_a_day(database: Database, later: list[timedelta]) -> None:
    once = idempotency.begin(database, "default", "k", "f")
    with database.transaction() as session:
        once.remember(session, 201, {})
    later[0] = KEPT_FOR + timedelta(seconds=1)
    idempotency.begin(database, "default", "another", "f")
    with database.reading() as session:
        assert keys.get(session, "default", "k") is None
