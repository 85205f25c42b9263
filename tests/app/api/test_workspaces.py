"""A key sees nothing of another workspace, whichever route it asks."""

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from app.api.access import PUBLIC
from app.db.engine import Database
from app.inference.registry import Registry
from app.settings import Settings
from tests.app.keyed import bearer, new_key
from tests.app.learnt import Published, png
from tests.databases import ONE_KIND_AT_FIRST

PNG = {"Content-Type": "image/png"}
PIXELS = {"inputs": [{"name": "image", "shape": [1, 1, 3], "datatype": "UINT8", "data": [1, 2, 3]}]}


def images(seed: int = 0) -> dict[str, Any]:
    return {"images": [{"label": "stop", "b64": base64.b64encode(png(seed)).decode()}]}


@dataclass(frozen=True)
class Probe:
    """A request for what the workspace "default" has, and what another one gets.

    ``missing``: the same as where there is nothing of that name; ``empty``: a list without it;
    ``own``: something that it owns; ``shared``: something that belongs to no workspace;
    ``unknown``: a refusal of what the body names.
    """

    sees: Literal["missing", "empty", "own", "shared", "unknown"] = "missing"
    path: str = ""
    given: dict[str, Any] = field(default_factory=dict)


# In an order in which nothing is deleted before the others have asked for it.
PROBES = {
    "POST /predict": Probe(
        path="/predict?classifier={name}", given={"content": png(), "headers": PNG}
    ),
    "POST /v1/classifiers/{name}/predict": Probe(given={"content": png(), "headers": PNG}),
    "GET /v2/models/{name}": Probe(),
    "GET /v2/models/{name}/ready": Probe(),
    "GET /v2/models/{name}/config": Probe(),
    "GET /v2/models/{name}/versions/{version}": Probe(),
    "GET /v2/models/{name}/versions/{version}/ready": Probe(),
    "GET /v2/models/{name}/versions/{version}/config": Probe(),
    "POST /v2/models/{name}/infer": Probe(given={"json": PIXELS}),
    "POST /v2/models/{name}/versions/{version}/infer": Probe(given={"json": PIXELS}),
    "POST /v2/repository/index": Probe("own"),
    "GET /v1/classifiers": Probe("empty"),
    "GET /v1/classifiers/{name}": Probe(),
    "PATCH /v1/classifiers/{name}": Probe(given={"json": {"hardware": "any"}}),
    "GET /v1/classifiers/{name}/versions": Probe(),
    "GET /v1/classifiers/{name}/versions/{version}": Probe(),
    "PATCH /v1/classifiers/{name}/versions/{version}": Probe(given={"json": {"metadata": {}}}),
    "GET /v1/classifiers/{name}/versions/{version}/checkpoint": Probe(),
    "GET /v1/classifiers/{name}/versions/{version}/export": Probe(),
    "GET /v1/classifiers/{name}/versions/{version}/classes": Probe(),
    "GET /v1/classifiers/{name}/versions/{version}/matrix": Probe(),
    "GET /v1/classifiers/{name}/versions/{version}/exemplars": Probe(),
    "GET /v1/classifiers/{name}/versions/{version}/confusion": Probe(),
    "GET /v1/classifiers/{name}/versions/{version}/held-out": Probe(),
    "GET /v1/classifiers/{name}/versions/{version}/judged": Probe(),
    "GET /v1/classifiers/{name}/versions/{version}/suspects": Probe(),
    "POST /v1/classifiers/{name}/versions/{version}/similar": Probe(
        path="/v1/classifiers/{name}/versions/{version}/similar?label=stop",
        given={"content": png(), "headers": PNG},
    ),
    "GET /v1/images/{sha256}": Probe(),
    "GET /v1/classifiers/{name}/aliases": Probe(),
    "GET /v1/classifiers/{name}/aliases/{alias}": Probe(),
    "PUT /v1/classifiers/{name}/aliases/{alias}": Probe(given={"json": {"version": 1}}),
    "GET /v1/uploads": Probe("empty"),
    "GET /v1/uploads/{upload_id}": Probe(),
    "GET /v1/uploads/{upload_id}/images": Probe(),
    "GET /v1/jobs": Probe("empty"),
    "GET /v1/jobs/{job_id}": Probe(),
    "GET /v1/jobs/{job_id}/report": Probe(),
    "GET /v1/jobs/{job_id}/images": Probe(),
    "GET /v1/jobs/{job_id}/events": Probe(),
    "GET /v1/jobs/{job_id}/deliveries": Probe(),
    "POST /v1/jobs/{job_id}/tickets": Probe(),
    "POST /v1/jobs/{job_id}/retry": Probe(),
    "POST /v1/jobs/{job_id}/cancel": Probe(),
    "POST /v1/classifiers/{name}/jobs": Probe(given={"json": {"uploads": ["upl_0"]}}),
    "POST /v1/advice": Probe("unknown", given={"json": {"uploads": ["upl_0"]}}),
    "POST /v1/classifiers/{name}/learn": Probe(given={"json": images(7)}),
    "GET /v1/key": Probe("own"),
    "GET /v1/keys": Probe("own"),
    "POST /v1/keys": Probe("own", given={"json": {"name": "robot", "scopes": ["predict"]}}),
    "GET /v1/keys/{key_id}": Probe(),
    "DELETE /v1/keys/{key_id}": Probe(),
    "GET /v1/methods": Probe("shared"),
    "GET /v1/backbones": Probe("shared"),
    "POST /v1/uploads/{upload_id}/images": Probe(given={"json": images(8)}),
    "POST /v1/uploads/layout": Probe("shared", given={"json": {"files": [{"name": "a/1.png"}]}}),
    "POST /v1/uploads": Probe("own", given={"json": images(9)}),
    "DELETE /v1/uploads/{upload_id}/images": Probe(given={"params": {"label": "stop"}}),
    "DELETE /v1/uploads/{upload_id}": Probe(),
    "DELETE /v1/classifiers/{name}/aliases/{alias}": Probe(),
    "DELETE /v1/classifiers/{name}/versions/{version}": Probe(),
    "DELETE /v1/classifiers/{name}": Probe(),
    "POST /v1/classifiers": Probe("own", given={"json": {"name": "signs"}}),
}
# What is about the whole installation.
NOT_OWNED = {"GET /metrics", "GET /v1/doctor"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"keys": "required"})


@pytest.fixture
def api(api: TestClient, database: Database) -> TestClient:
    """A client with a key of the workspace "default", which may do all."""
    api.headers.update(bearer(new_key(database, "admin")))
    return api


@pytest.fixture
def other(api: TestClient, database: Database) -> dict[str, str]:
    """The headers of a key of another workspace, which may do all there."""
    return bearer(new_key(database, "admin", workspace="another"))


@pytest.fixture
def owned(api: TestClient, publish: Callable[..., Published]) -> dict[str, str]:
    """One of everything in "default": what fills the placeholders of paths."""
    publish(exemplars=[png(0), png(1)])
    publish(alias="canary")
    upload = api.post("/v1/uploads", json=images(2)).raise_for_status().json()["id"]
    free = api.post("/v1/uploads", json=images(3)).raise_for_status().json()["id"]
    body = {"uploads": [upload], "on_existing": "extend"}
    job = api.post("/v1/classifiers/signs/jobs", json=body).raise_for_status().json()["id"]
    exemplars = "/v1/classifiers/signs/versions/1/exemplars?label=stop"
    key = {"name": "owned", "scopes": ["predict"]}
    sha256 = api.get(exemplars).raise_for_status().json()["data"][0]["sha256"]
    return {
        "name": "signs",
        "version": "1",
        "alias": "canary",
        "upload_id": free,
        "job_id": job,
        "sha256": sha256,
        "key_id": api.post("/v1/keys", json=key).raise_for_status().json()["id"],
        "used_upload": upload,
    }


@ONE_KIND_AT_FIRST
def test_there_is_a_probe_of_every_route(api: TestClient) -> None:
    app: Any = api.app
    every = {
        f"{method} {route.path}"
        for route in iter_route_contexts(app.routes)
        if route.path not in PUBLIC
        for method in route.methods or ()
    }
    assert every - NOT_OWNED == set(PROBES)


@ONE_KIND_AT_FIRST
def test_nothing_of_another_workspace_is_seen_or_changed(
    api: TestClient, owned: dict[str, str], other: dict[str, str]
) -> None:
    def ask(route: str, names: dict[str, str], **headers: str) -> Any:
        probe = PROBES[route]
        method, _, template = route.partition(" ")
        given = {**probe.given, "headers": {**probe.given.get("headers", {}), **headers}}
        return api.request(method, (probe.path or template).format(**names), **given)

    def code(answer: Any) -> tuple[int, str]:
        return answer.status_code, answer.json()["code"]

    nowhere = {**dict.fromkeys(owned, "nowhere"), "version": "1", "sha256": "0" * 64}

    def all_of_it() -> list[Any]:
        paths = ("", "/signs", "/signs/versions", "/signs/aliases")
        lists = [*(f"/v1/classifiers{path}" for path in paths), "/v1/uploads", "/v1/jobs"]
        return [api.get(path).raise_for_status().json() for path in lists]

    before = all_of_it()
    secrets = [owned["upload_id"], owned["used_upload"], owned["job_id"], owned["sha256"]]
    for route, probe in PROBES.items():
        answer = ask(route, owned, **other)
        if probe.sees == "missing":
            assert answer.status_code == 404, route
            # As if it were not there.
            assert code(answer) == code(ask(route, nowhere)), route
        elif probe.sees == "empty":
            assert answer.json() == {"data": [], "has_more": False, "next": None}, route
        elif probe.sees == "unknown":
            assert answer.status_code == 422, route
        else:
            assert answer.is_success, route
        assert not any(secret in answer.text for secret in secrets), route
    assert all_of_it() == before
    # And all of it was there to be found.
    for route, probe in PROBES.items():
        if probe.sees != "missing":
            continue
        answer = ask(route, owned)
        own = answer.is_success or code(answer) != code(ask(route, nowhere))
        assert own, f"{route}: {answer.text}"


@ONE_KIND_AT_FIRST
def test_what_belongs_to_another_cannot_be_named(
    api: TestClient, owned: dict[str, str], other: dict[str, str]
) -> None:
    api.post("/v1/classifiers", json={"name": "mine"}, headers=other).raise_for_status()
    for path in ("/v1/classifiers/mine/jobs", "/v1/advice"):
        answer = api.post(path, json={"uploads": [owned["upload_id"]]}, headers=other)
        assert (answer.status_code, answer.json()["code"]) == (422, "unknown-upload")
    listed = api.get("/v1/jobs?classifier=signs", headers=other).json()["data"]
    assert listed == []


@ONE_KIND_AT_FIRST
def test_the_one_classifier_is_that_of_the_workspace(
    api: TestClient, registry: Registry, owned: dict[str, str], other: dict[str, str]
) -> None:
    def predict(headers: dict[str, str]) -> tuple[int, str]:
        answer = api.post("/predict", content=png(), headers={**PNG, **headers})
        return answer.status_code, answer.json().get("code", "")

    assert predict(other) == (404, "classifier-not-found")
    assert predict({}) == (200, "")
    api.post("/v1/classifiers", json={"name": "mine"}, headers=other).raise_for_status()
    registry.refresh()
    assert predict(other) == (409, "no-version-yet")
    assert predict({}) == (200, "")


def test_names_and_idempotency_keys_are_a_workspaces_own(
    api: TestClient, other: dict[str, str]
) -> None:
    once = {"Idempotency-Key": "the-same"}
    for headers, method in ((once, "icarl"), ({**once, **other}, "finetune")):
        body = {"name": "signs", "method": method}
        answer = api.post("/v1/classifiers", json=body, headers=headers)
        assert answer.status_code == 201
        assert "Idempotency-Replayed" not in answer.headers
    assert api.get("/v1/classifiers/signs").json()["method"] == "icarl"
    assert api.get("/v1/classifiers/signs", headers=other).json()["method"] == "finetune"


def test_an_image_is_seen_by_whose_upload_or_version_has_it(
    api: TestClient, owned: dict[str, str], other: dict[str, str]
) -> None:
    path = f"/v1/images/{owned['sha256']}"
    assert api.get(path).content == png(0)
    assert api.get(path, headers=other).status_code == 404
    # The same bytes sent by the other workspace are that one's as well, as long as it has them.
    upload = api.post("/v1/uploads", json=images(0), headers=other).raise_for_status().json()
    assert api.get(path, headers=other).content == png(0)
    api.delete(f"/v1/uploads/{upload['id']}", headers=other).raise_for_status()
    assert api.get(path, headers=other).status_code == 404
    assert api.get(path).status_code == 200
