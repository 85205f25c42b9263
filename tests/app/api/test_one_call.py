"""``/learn`` with all that a job may be asked, and with a classifier made by the way."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.app.api.test_jobs import images
from tests.databases import ONE_KIND_AT_FIRST

LEARN = "/v1/classifiers/signs/learn"
BODY = {"name": "signs", "method": "icarl", "backbone": "convnet", "image_size": 8}
SECRET = "whsec_" + "c2VjcmV0" * 4
TOLD = {"Webhook-URL": "https://1.1.1.1/told", "Webhook-Secret": SECRET}


def nothing_is_left(api: TestClient) -> bool:
    return not any(api.get(f"/v1/{what}").json()["data"] for what in ("uploads", "jobs"))


def test_a_job_is_asked_for_in_query_and_headers(api: TestClient) -> None:
    api.post("/v1/classifiers", json=BODY).raise_for_status()
    options = {"epochs": 3, "lr": 0.5}
    noted = {"description": "Of the north.", "metadata": {"owner": "Ann"}}
    query = {"options": json.dumps(options), "max_minutes": 9, "on_existing": "extend"}
    query |= {"description": "Of the north.", "metadata": '{"owner": "Ann"}'}
    answer = api.post(LEARN, json=images("stop"), params=query, headers=TOLD)
    job = api.get(answer.raise_for_status().headers["Location"]).json()
    assert job["webhook"] is True
    assert job["request"] == {
        "uploads": answer.json()["uploads"],
        "options": options,
        "on_existing": "extend",
        "base_version": None,
        "max_minutes": 9,
        **noted,
    }
    assert SECRET not in answer.text


@ONE_KIND_AT_FIRST
@pytest.mark.parametrize(
    ("query", "headers", "code", "pointer"),
    [
        ({"options": "{"}, {}, "invalid-request", "/query/options"),
        ({"options": "[1]"}, {}, "invalid-request", "/query/options"),
        ({"options": '{"epochs": 0}'}, {}, "invalid-options", "/options/epochs"),
        ({"options": '{"epochs": "3"}'}, {}, "invalid-options", "/options/epochs"),
        ({"metadata": "Ann"}, {}, "invalid-request", "/query/metadata"),
        ({"metadata": '{"owner": 1}'}, {}, "invalid-request", "/query/metadata/owner"),
        ({"description": "d" * 1001}, {}, "invalid-request", "/query/description"),
        ({"max_minutes": 0}, {}, "invalid-request", "/query/max_minutes"),
        ({"base_version": "0"}, {}, "invalid-request", "/query/base_version"),
        ({"base_version": "canary"}, {}, "unknown-base-version", "/base_version"),
        ({}, {"Webhook-URL": TOLD["Webhook-URL"]}, "invalid-request", "/header/Webhook-Secret"),
        ({}, {"Webhook-Secret": SECRET}, "invalid-request", "/header/Webhook-URL"),
        ({}, {**TOLD, "Webhook-Secret": "short"}, "invalid-request", "/header/Webhook-Secret"),
        ({}, {**TOLD, "Webhook-URL": "http://1.1.1.1"}, "invalid-webhook", "/webhook/url"),
        ({"create": "true", "split": "test"}, {}, "no-training-images", None),
    ],
)
def test_what_is_wrong_is_pointed_at_and_leaves_nothing(
    api: TestClient, query: dict[str, Any], headers: dict[str, str], code: str, pointer: str | None
) -> None:
    api.post("/v1/classifiers", json=BODY).raise_for_status()
    answer = api.post(LEARN, json=images("stop"), params=query, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    if pointer is not None:
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert headers.get("Webhook-Secret", "none") not in answer.text
    assert nothing_is_left(api)


def test_a_classifier_is_made_with_its_first_images(api: TestClient) -> None:
    body = images("stop", "yield")
    assert api.post(LEARN, json=body).json()["code"] == "classifier-not-found"
    job = api.post(f"{LEARN}?create=true", json=body).raise_for_status().json()
    made = api.get("/v1/classifiers/signs").json()
    assert (made["method"], made["image_size"], made["live"]) == ("analytic", 96, None)
    assert job["classifier"] == "signs"
    # The same request goes on with it.
    again = api.post(f"{LEARN}?create=true&on_existing=extend", json=body).raise_for_status()
    assert again.json()["classifier"] == "signs"
    assert api.get("/v1/classifiers").json()["data"] == [made]


@ONE_KIND_AT_FIRST
def test_no_classifier_is_made_in_vain(api: TestClient) -> None:
    for path, code in (
        (f"{LEARN}?create=true&split=test", "no-training-images"),
        (f"{LEARN}?create=true&base_version=3", "unknown-base-version"),
        ("/v1/classifiers/a%20b/learn?create=true", "invalid-request"),
    ):
        answer = api.post(path, json=images("stop"))
        assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert api.get("/v1/classifiers").json()["data"] == []
    assert answer.json()["errors"][0]["pointer"] == "/path/name"
    assert nothing_is_left(api)
