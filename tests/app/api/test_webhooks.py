"""Webhooks as clients ask for them, over the whole service."""

import base64
import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response
from structlog.testing import capture_logs

from app.main import create_app
from app.settings import Settings
from tests.app.api.test_jobs import images
from tests.app.receiver import Receiver, wait_until
from tests.databases import ONE_KIND_AT_FIRST

pytestmark = ONE_KIND_AT_FIRST

RAW = secrets.token_bytes(32)
SECRET = "whsec_" + base64.b64encode(RAW).decode()


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    """A service whose webhooks may go to this machine."""
    private = settings.model_copy(update={"webhook_private": True})
    with TestClient(create_app(private)) as client:
        yield client


def queue(api: TestClient, webhook: Any, **headers: str) -> Response:
    if api.get("/v1/classifiers/signs").status_code == 404:
        body = {"name": "signs", "method": "icarl", "backbone": "convnet", "image_size": 8}
        api.post("/v1/classifiers", json=body).raise_for_status()
        api.post("/v1/uploads", json=images("stop", "yield")).raise_for_status()
    upload = api.get("/v1/uploads").json()["data"][0]["id"]
    body = {"uploads": [upload], "webhook": webhook}
    return api.post("/v1/classifiers/signs/jobs", json=body, headers=headers)


def test_the_secret_is_never_seen_again(api: TestClient) -> None:
    receiver = Receiver()
    receiver.answers = [500]
    webhook = {"url": receiver.url, "secret": SECRET}
    with capture_logs() as logged:
        answers = [queue(api, webhook, **{"Idempotency-Key": "k"}) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [202, 202]
        path = f"/v1/jobs/{answers[0].json()['id']}"
        answers.append(api.post(f"{path}/cancel"))
        wait_until(lambda: "webhook_tried" in [entry["event"] for entry in logged])
    shown = api.get(f"{path}/deliveries")
    (delivery,) = shown.json()["data"]
    assert (delivery["state"], delivery["last_status"]) == ("pending", 500)
    assert delivery["id"] == receiver.received[0].headers["webhook-id"]
    told, asked = json.loads(receiver.received[0].body)["data"], api.get(path).json()
    assert told == {name: value for name, value in asked.items() if name in told}
    assert asked["webhook"] is True
    receiver.close()
    answers += [shown, api.get(path), api.get(f"{path}/events"), api.get("/v1/jobs")]
    for text in [*(answer.text for answer in answers), repr(logged)]:
        assert SECRET.removeprefix("whsec_") not in text
        assert "/hook" not in text


@pytest.mark.parametrize(
    ("webhook", "pointer"),
    [
        ("https://example.org/hook", "/webhook"),
        ({"url": "https://example.org/hook"}, "/webhook/secret"),
        ({"secret": SECRET}, "/webhook/url"),
        ({"url": "https://example.org", "secret": SECRET, "events": []}, "/webhook/events"),
        ({"url": "ftp://example.org", "secret": SECRET}, "/webhook/url"),
        ({"url": "https://u:p@example.org", "secret": SECRET}, "/webhook/url"),
        ({"url": "https://example.org", "secret": "hunter2-hunter2"}, "/webhook/secret"),
        ({"url": "https://example.org", "secret": "whsec_hunter2-hunter2"}, "/webhook/secret"),
        ({"url": "https://example.org", "secret": "whsec_aHVudGVyMg=="}, "/webhook/secret"),
        ({"url": "https://example.org", "secret": SECRET + 300 * "A"}, "/webhook/secret"),
    ],
)
def test_a_wrong_webhook_is_pointed_at(api: TestClient, webhook: Any, pointer: str) -> None:
    answer = queue(api, webhook)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    for secret in (SECRET, "hunter2", "aHVudGVyMg"):
        assert secret not in answer.text
    assert api.get("/v1/jobs").json()["data"] == []


def test_private_targets_are_refused_unless_allowed(settings: Settings) -> None:
    with TestClient(create_app(settings)) as api:
        for url in ("http://example.org/", "https://127.0.0.1/", "https://[::ffff:10.0.0.1]/"):
            answer = queue(api, {"url": url, "secret": SECRET})
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid-webhook")
        taken = queue(api, {"url": "https://example.org/hook", "secret": SECRET})
        assert taken.status_code == 202
        assert api.get("/v1/jobs/job_none/deliveries").json()["code"] == "job-not-found"
        path = f"/v1/jobs/{taken.json()['id']}/deliveries"
        assert api.get(path).json() == {"data": []}
