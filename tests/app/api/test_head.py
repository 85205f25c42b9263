"""HEAD of every GET, the methods of a 405, and the Location of what a request made."""

import base64
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from tests.app import learnt
from tests.app.learnt import Published
from tests.databases import ONE_KIND_AT_FIRST
from tests.pictures import png

pytestmark = ONE_KIND_AT_FIRST


@pytest.mark.parametrize(
    "path",
    [
        "/health/live",
        "/version",
        "/openapi.json",
        "/v1/classifiers",
        "/v1/classifiers/signs",
        "/v1/classifiers/signs/versions/live",
        "/v1/classifiers/signs/versions/live/checkpoint",
        "/v1/jobs",
        "/v1/classifiers/none",
    ],
)
def test_head_is_get_without_the_body(
    api: TestClient, publish: Callable[..., Published], path: str
) -> None:
    api.post("/v1/classifiers", json={**learnt.BODY, "name": "signs"}).raise_for_status()
    publish(0)
    got, asked = api.get(path), api.head(path)
    assert (asked.status_code, asked.content) == (got.status_code, b"")
    own = {"x-request-id", "date", "server-timing"}
    headers = {name: value for name, value in got.headers.items() if name not in own}
    assert {name: value for name, value in asked.headers.items() if name not in own} == headers
    metrics = api.get("/metrics").text
    assert 'method="HEAD"' in metrics


def test_a_405_names_all_methods_of_the_path(api: TestClient) -> None:
    for path, allowed in (
        ("/v1/classifiers/signs", "DELETE, GET, HEAD, PATCH"),
        ("/v1/classifiers", "GET, HEAD, POST"),
        ("/predict", "POST"),
        ("/v1/uploads/upl_x/images", "DELETE, GET, HEAD, POST"),
        ("/v1/uploads/layout", "POST"),
    ):
        answer = api.put(path)
        assert (answer.status_code, answer.json()["code"]) == (405, "method-not-allowed")
        assert answer.headers["Allow"] == allowed
        assert answer.json()["detail"] == f"This address takes {allowed}."
    assert api.head("/predict").status_code == 405


def test_what_was_made_is_where_location_says(api: TestClient) -> None:
    images = {"images": [{"label": "stop", "b64": base64.b64encode(png(1)).decode()}]}
    key = {"Idempotency-Key": "once"}
    made = api.post("/v1/uploads", json=images, headers=key)
    assert made.status_code == 201
    assert made.headers["Location"] == f"/v1/uploads/{made.json()['id']}"
    assert api.get(made.headers["Location"]).json() == made.json()
    again = api.post("/v1/uploads", json=images, headers=key)
    assert again.headers["Location"] == made.headers["Location"]
    added = api.post(f"{made.headers['Location']}/images", json=images)
    assert added.status_code == 200
    assert "Location" not in added.headers
