"""What answers say beside their bodies, and what requests may leave out of theirs."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.db.engine import Database
from app.main import create_app
from app.settings import Settings
from tests.app.api.test_jobs import images
from tests.app.keyed import bearer, new_key
from tests.app.learnt import BODY, Published, png
from tests.databases import ONE_KIND_AT_FIRST

pytestmark = ONE_KIND_AT_FIRST
Publish = Callable[..., Published]

PNG = {"Content-Type": "image/png"}
SIGNS = "/v1/classifiers/signs"
NEW = json.dumps({"name": "signs", **BODY}).encode()


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


@pytest.mark.parametrize(
    ("headers", "remedy"),
    [
        ({}, "Content-Type: application/json"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, "Content-Type: application/json"),
        ({"Content-Type": "text/plain"}, "Content-Type: application/json"),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, "Content-Encoding"),
    ],
)
def test_what_is_not_said_to_be_json_is_refused(
    api: TestClient, headers: dict[str, str], remedy: str
) -> None:
    body = gzip.compress(NEW) if "Content-Encoding" in headers else NEW
    answer = api.post("/v1/classifiers", content=body, headers=headers)
    assert code(answer) == (415, "unsupported-media-type")
    assert remedy in answer.json()["detail"]
    assert api.get("/v1/classifiers").json()["data"] == []


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "application/merge-patch+json"]
)
def test_every_kind_of_json_is_taken(api: TestClient, kind: str) -> None:
    headers = {"Content-Type": kind, "Content-Encoding": "identity"}
    assert api.post("/v1/classifiers", content=NEW, headers=headers).status_code == 201


def test_a_body_that_is_missing_or_no_text_is_invalid(api: TestClient) -> None:
    json_type = {"Content-Type": "application/json"}
    assert code(api.post("/v1/classifiers")) == (422, "invalid-request")
    answer = api.post("/v1/classifiers", content=b'{"name": "\xff"}', headers=json_type)
    assert code(answer) == (400, "bad-request")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", "3"),
        ("seed", True),
        ("validation_fraction", "0.5"),
        ("pinned", "yes"),
        ("pinned", 1),
        ("image_size", 16.0),
        ("memory", {"exemplars": "5"}),
        ("augment", {"flip": "no"}),
        ("retention", {"keep_last": "3"}),
    ],
)
def test_a_number_in_quotes_is_not_a_number(api: TestClient, field: str, value: Any) -> None:
    body = {"name": "signs", **BODY, field: value}
    answer = api.post("/v1/classifiers", json=body)
    assert code(answer) == (422, "invalid-request")
    assert answer.json()["errors"][0]["pointer"].startswith(f"/{field}")


def test_empty_parameters_are_not_given(api: TestClient, publish: Publish) -> None:
    publish()
    paths = ("/v1/classifiers?after=&limit=&prefix=", "/v1/jobs?state=&kind=&since=&classifier=")
    for path in paths:
        plain = path.partition("?")[0]
        assert api.get(path).raise_for_status().json() == api.get(plain).json()
    query = "?task=&classify=&version=&top_k=1"
    answer = api.post(f"{SIGNS}/predict{query}", content=png(), headers=PNG)
    assert len(answer.raise_for_status().json()["results"][0]["ranked"]) == 1
    assert code(api.get("/v1/classifiers?limit=x&after=")) == (422, "invalid-request")
    # What is deleted must be said.
    upload = api.post("/v1/uploads", json=images("stop")).json()["id"]
    answer = api.delete(f"/v1/uploads/{upload}/images?label=&split=train")
    assert code(answer) == (422, "invalid-request")


def test_what_a_client_has_is_not_sent_again(api: TestClient, publish: Publish) -> None:
    publish(exemplars=[png(1)])
    image = api.get(f"{SIGNS}/versions/1/exemplars").json()["data"][0]["sha256"]
    for path in ("/v1/classifiers", SIGNS, "/v1/uploads", f"/v1/images/{image}", "/v1/methods"):
        first = api.get(path).raise_for_status()
        tag = first.headers["etag"]
        for known in (tag, f'"other", {tag}', tag.removeprefix("W/"), "*"):
            again = api.get(path, headers={"If-None-Match": known})
            assert (again.status_code, again.content) == (304, b""), (path, known)
            assert again.headers["etag"] == tag
        assert api.head(path, headers={"If-None-Match": tag}).status_code == 304
        assert api.get(path, headers={"If-None-Match": '"other"'}).content == first.content
    before = api.get(SIGNS).headers["etag"]
    api.patch(SIGNS, json={"description": "changed"}).raise_for_status()
    assert api.get(SIGNS, headers={"If-None-Match": before}).status_code == 200
    # Only a reading is answered so.
    answer = api.patch(SIGNS, json={}, headers={"If-None-Match": "*"})
    assert answer.status_code == 200


def test_the_rate_is_told_with_every_prediction(
    api: TestClient, publish: Publish, settings: Settings, database: Database
) -> None:
    publish()
    headers = {**bearer(new_key(database, "predict", images_per_second=2)), **PNG}
    with TestClient(create_app(settings.model_copy(update={"keys": "required"}))) as keyed:
        answer = keyed.post(f"{SIGNS}/predict", content=png(), headers=headers).raise_for_status()
        told = {name: answer.headers[f"RateLimit-{name}"] for name in ("Limit", "Remaining")}
        assert told == {"Limit": "2", "Remaining": "1"}
        assert answer.headers["RateLimit-Reset"] == "1"
        many = json.dumps({"images": [{"b64": ""}] * 9}).encode()
        keyed.post(
            f"{SIGNS}/predict",
            content=many,
            headers={**headers, "Content-Type": "application/json"},
        )
        refused = keyed.post(f"{SIGNS}/predict", content=png(), headers=headers)
        assert code(refused) == (429, "rate-limited")
        assert refused.headers["RateLimit-Remaining"] == "0"
        assert int(refused.headers["RateLimit-Reset"]) >= int(refused.headers["Retry-After"]) >= 1
    # Without keys there is no rate, and nothing is said of one.
    answer = api.post(f"{SIGNS}/predict", content=png(), headers=PNG)
    assert "RateLimit-Limit" not in answer.headers


def test_what_passes_says_when_to_come_again(api: TestClient, publish: Publish) -> None:
    publish()
    upload = api.post("/v1/uploads", json=images("go")).json()["id"]
    body = {"uploads": [upload], "base_version": 1}
    api.post(f"{SIGNS}/jobs", json=body).raise_for_status()
    publish(alias="live")
    for path in (f"{SIGNS}?confirm=signs", f"/v1/uploads/{upload}", f"{SIGNS}/versions/1"):
        answer = api.delete(path)
        assert (answer.status_code, answer.headers["Retry-After"]) == (409, "5"), path
    # An alias stays until it is moved.
    assert "Retry-After" not in api.delete(f"{SIGNS}/versions/2").headers


def test_errors_name_their_classes(api: TestClient, publish: Publish) -> None:
    publish()
    answer = api.post(f"{SIGNS}/learn", json=images("yield", "go", "stop"))
    assert code(answer) == (409, "class-already-learnt")
    assert {error["label"] for error in answer.json()["errors"]} == {"stop", "yield"}
    answer = api.post(f"{SIGNS}/learn?split=test", json=images("go"))
    assert [error["label"] for error in answer.json()["errors"]] == ["go"]
    forget = {"kind": "forget", "classes": ["stop", "cat"]}
    (error,) = api.post(f"{SIGNS}/jobs", json=forget).json()["errors"]
    assert (error["pointer"], error["label"]) == ("/classes/1", "cat")


@pytest.mark.parametrize("field", ["file", "image", "images", "files[]", "file[]"])
def test_files_under_the_names_that_clients_use(
    api: TestClient, publish: Publish, field: str
) -> None:
    publish()
    files = [(field, ("a.png", png(1), "image/png")), (field, ("b.png", png(2), "image/png"))]
    answer = api.post("/v1/uploads", files=files, data={"label": "stop"})
    assert answer.raise_for_status().json()["classes"] == {"stop": 2}
    answer = api.post(f"{SIGNS}/predict", files=files)
    assert len(answer.raise_for_status().json()["results"]) == 2
