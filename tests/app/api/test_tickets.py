"""Tickets: a browser follows a job without a header."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient

from app.db.engine import Database
from app.main import create_app
from app.security import tokens
from app.services.access import keys, tickets
from app.services.jobs import jobs
from app.settings import Settings
from tests.app.api.test_event_stream import STREAM, frames, wait_until
from tests.app.keyed import bearer, new_key
from tests.worker.harness import WORKSPACE, Service

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"keys": "required"})


@pytest.fixture
def other_process(settings: Settings, api: TestClient) -> Iterator[TestClient]:
    """Another API process of the same database."""
    with TestClient(create_app(settings)) as client:
        yield client


@pytest.fixture
def ended_jobs(database: Database, settings: Settings) -> list[str]:
    """Two jobs that have ended."""
    service = Service(database, settings)
    service.classifier()
    made = [service.learn(service.upload(label, "b", count=2)) for label in "ac"]
    for job_id in made:
        jobs.cancel(database, WORKSPACE, job_id)
    return made


@pytest.fixture
def key(database: Database) -> str:
    return new_key(database, "train")


def asked(api: TestClient, job_id: str, key: str) -> dict[str, str]:
    answer = api.post(f"/v1/jobs/{job_id}/tickets", headers=bearer(key)).raise_for_status()
    assert answer.headers["cache-control"] == "no-store"
    found: dict[str, str] = answer.json()
    return found


def refused(answer: object) -> bool:
    return (answer.status_code, answer.json()["code"]) == (401, "unauthorized")  # type: ignore


def test_a_stream_is_open_to_the_ticket_in_every_process(
    api: TestClient, other_process: TestClient, ended_jobs: list[str], key: str
) -> None:
    url = asked(api, ended_jobs[0], key)["url"]
    for process in (api, other_process):
        for _ in range(2):  # EventSource comes back with the same address
            with process.stream("GET", url, headers=STREAM) as answer:
                assert answer.status_code == 200
                found = [frame["event"] for frame in frames(answer.iter_lines())]
            assert (found[0], found[-1]) == ("created", "cancelled")


def test_a_ticket_is_for_one_job_and_nothing_else(
    api: TestClient, ended_jobs: list[str], key: str
) -> None:
    ticket = {"ticket": asked(api, ended_jobs[0], key)["ticket"]}
    assert refused(api.get(f"/v1/jobs/{ended_jobs[1]}/events", params=ticket))
    for path in (f"/v1/jobs/{ended_jobs[0]}", "/v1/jobs", "/v1/classifiers"):
        assert refused(api.get(path, params=ticket)), path
    assert refused(api.post(f"/v1/jobs/{ended_jobs[0]}/tickets", params=ticket))


def test_a_ticket_is_good_for_minutes(api: TestClient, ended_jobs: list[str], key: str) -> None:
    given = asked(api, ended_jobs[0], key)
    left = datetime.fromisoformat(given["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=4) < left <= tickets.GOOD_FOR
    key_id, digest = str(tokens.id_of(key)), tokens.digest(key)
    for minutes, status in ((4, 200), (6, 401)):
        then = datetime.now(UTC) - timedelta(minutes=minutes)
        ticket, _ = tickets.issue(key_id, digest, ended_jobs[0], then)
        answer = api.get(f"/v1/jobs/{ended_jobs[0]}/events", params={"ticket": ticket})
        assert answer.status_code == status, minutes


def test_a_ticket_cannot_be_changed_or_made_up(
    api: TestClient, ended_jobs: list[str], key: str
) -> None:
    ticket = asked(api, ended_jobs[0], key)["ticket"]
    prefix, key_id, expires, signature = ticket.split("_", 3)
    later = f"{int(expires, 16) + 60:x}"
    for changed in (
        f"{prefix}_{key_id}_{later}_{signature}",
        f"{prefix}_{key_id}_{expires}_{'A' * 43}",
        f"{prefix}_{'0' * 24}_{expires}_{signature}",
        ticket[:-1],
        key,
    ):
        answer = api.get(f"/v1/jobs/{ended_jobs[0]}/events", params={"ticket": changed})
        assert refused(answer), changed
        assert "tickets" in answer.json()["detail"]


def test_a_ticket_ends_with_its_key(
    api: TestClient, database: Database, ended_jobs: list[str], key: str
) -> None:
    url = asked(api, ended_jobs[0], key)["url"]
    keys.revoke(database, str(tokens.id_of(key)))
    wait_until(lambda: api.get(url).status_code == 401)


def test_a_ticket_may_do_what_its_key_may(
    api: TestClient, database: Database, ended_jobs: list[str]
) -> None:
    predicting = new_key(database, "predict")
    path = f"/v1/jobs/{ended_jobs[0]}"
    assert api.post(f"{path}/tickets", headers=bearer(predicting)).status_code == 403
    stranger = new_key(database, "train", workspace="another")
    assert api.post(f"{path}/tickets", headers=bearer(stranger)).status_code == 404
    for given, status in ((predicting, 403), (stranger, 404)):
        key_id, digest = str(tokens.id_of(given)), tokens.digest(given)
        ticket, _ = tickets.issue(key_id, digest, ended_jobs[0], datetime.now(UTC))
        assert api.get(f"{path}/events", params={"ticket": ticket}).status_code == status


def test_where_keys_are_off_the_same_page_works(
    settings: Settings, api: TestClient, ended_jobs: list[str]
) -> None:
    with TestClient(create_app(settings.model_copy(update={"keys": "off"}))) as client:
        given = client.post(f"/v1/jobs/{ended_jobs[0]}/tickets").raise_for_status().json()
        assert client.get(given["url"]).raise_for_status().json()["data"]
