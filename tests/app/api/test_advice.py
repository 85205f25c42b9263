"""Advice over HTTP. No worker runs."""

import pytest
from fastapi.testclient import TestClient

from app.db.engine import Database
from app.main import create_app
from app.settings import Settings
from tests.app.api.test_jobs import images
from tests.app.keyed import bearer, new_key
from tests.databases import ONE_KIND_AT_FIRST

pytestmark = ONE_KIND_AT_FIRST


@pytest.fixture
def upload(api: TestClient) -> str:
    answer = api.post("/v1/uploads", json=images("stop", "yield"))
    return str(answer.raise_for_status().json()["id"])


def test_a_job_is_accepted_followed_and_cancelled(api: TestClient, upload: str) -> None:
    answer = api.post("/v1/advice", json={"uploads": [upload], "seconds": 30})
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert (job["kind"], job["classifier"], job["state"]) == ("advise", None, "queued")
    shown = api.get(f"/v1/jobs/{job['id']}").json()
    assert shown.items() >= job.items()
    assert (shown["request"]["uploads"], shown["request"]["seconds"]) == ([upload], 30)
    assert api.get("/v1/jobs").json()["data"] == [job]
    events = api.get(f"/v1/jobs/{job['id']}/events").json()["data"]
    assert [event["type"] for event in events] == ["created"]
    assert api.get(f"/v1/jobs/{job['id']}/report").json()["code"] == "no-report"
    assert api.post(f"/v1/jobs/{job['id']}/cancel").json()["state"] == "cancelled"
    assert api.post(f"/v1/jobs/{job['id']}/retry").json()["state"] == "queued"


def test_the_same_key_makes_one_job(api: TestClient, upload: str) -> None:
    headers = {"Idempotency-Key": "advice-1"}
    first, again = (
        api.post("/v1/advice", json={"uploads": [upload]}, headers=headers) for _ in range(2)
    )
    assert first.json() == again.json()
    assert len(api.get("/v1/jobs").json()["data"]) == 1


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"seconds": 0.5}, "/seconds"),
        ({"seconds": 1e6}, "/seconds"),
        ({"uploads": []}, "/uploads"),
        ({"uploads": ["upl_0"]}, "/uploads/0"),
        ({"hardware": "tpu"}, "/hardware"),
        ({"method": "icarl"}, "/method"),
        ({"webhook": {"url": "no url", "secret": "whsec_"}}, "/webhook/secret"),
    ],
)
def test_what_is_wrong_is_pointed_at(
    api: TestClient, upload: str, fields: dict[str, object], pointer: str
) -> None:
    answer = api.post("/v1/advice", json={"uploads": [upload], **fields})
    assert answer.status_code == 422
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert api.get("/v1/jobs").json()["data"] == []


def test_it_needs_the_scope_to_train(settings: Settings, database: Database) -> None:
    required = settings.model_copy(update={"keys": "required"})
    with TestClient(create_app(required)) as api:
        key = bearer(new_key(database, "predict"))
        refused = api.post("/v1/advice", json={"uploads": ["upl_0"]}, headers=key)
        assert refused.status_code == 403
