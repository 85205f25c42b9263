"""Errors that belong to no resource: of FastAPI, of the database, and unexpected ones."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import event

from app.api.middleware import RequestContext
from app.db.engine import Database
from app.main import create_app
from app.settings import Settings
from tests.databases import ONE_KIND_AT_FIRST

pytestmark = ONE_KIND_AT_FIRST

JSON = {"Content-Type": "application/json"}


def test_unknown_path_and_method(api: TestClient) -> None:
    for answer, status, code in (
        (api.get("/nope"), 404, "not-found"),
        (api.put("/predict"), 405, "method-not-allowed"),
    ):
        problem = answer.json()
        assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)
        assert answer.headers["content-type"] == "application/problem+json"
        assert problem["instance"] == answer.headers["x-request-id"]
        assert problem["type"].endswith(code)


def test_a_slash_too_many_leads_nowhere(api: TestClient) -> None:
    answer = api.get("/v1/classifiers/", follow_redirects=False)
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    assert "/docs" in answer.json()["detail"]


def test_harmless_request_ids_are_kept(api: TestClient) -> None:
    kept = api.get("/version", headers={"X-Request-ID": "trace-1"})
    assert kept.headers["x-request-id"] == "trace-1"
    replaced = api.get("/version", headers={"X-Request-ID": "a b\tc"})
    assert replaced.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/predict?heat_map=true", "heat_map"),
        ("POST", "/v1/classifiers/signs/predict?heat_map=true&top_k=3", "heat_map"),
        ("GET", "/v1/jobs?wait=3", "wait"),
        ("POST", "/v1/uploads?Strict=true", "Strict"),
        ("GET", "/version?a~/b=1", "a~0~1b"),
    ],
)
def test_unknown_parameters_are_refused(api: TestClient, method: str, path: str, name: str) -> None:
    answer = api.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
    assert [error["pointer"] for error in answer.json()["errors"]] == [f"/query/{name}"]


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("POST", "/predict?version=1&version=2", "version"),
        ("POST", "/v1/uploads?split=test&split=train", "split"),
        ("DELETE", "/v1/uploads/upl_1/images?label=stop&sha256=0&sha256=1&label=go", "label"),
    ],
)
def test_parameters_that_are_given_twice_are_refused(
    api: TestClient, method: str, path: str, name: str
) -> None:
    answer = api.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
    assert answer.json()["errors"] == [
        {"pointer": f"/query/{name}", "detail": "given twice; send one of them"}
    ]


def test_parameters_that_name_several_things_may_be_repeated(api: TestClient) -> None:
    assert api.get("/v1/jobs?state=queued&state=running").status_code == 200


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"retention": {"keep_last": True}}, "/retention/keep_last"),
        ({"memory": {"exemplars": True}}, "/memory/exemplars"),
        ({"augment": {"crop": False, "flip": False}}, "/augment/crop"),
        ({"method": "icarl", "options": {"epochs": True}}, "/options/epochs"),
        ({"method": "icarl", "options": {"milestones": [0.5, False]}}, "/options/milestones/1"),
    ],
)
def test_true_and_false_are_not_numbers(
    api: TestClient, body: dict[str, object], pointer: str
) -> None:
    answer = api.post("/v1/classifiers", json={"name": "signs", **body})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


def test_text_that_no_utf8_holds_is_422(settings: Settings) -> None:
    app = create_app(settings)

    @app.get("/store")
    def store() -> None:
        "\ud800".encode()

    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get("/store")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")


def test_malformed_json_is_not_echoed(api: TestClient) -> None:
    answer = api.post(
        "/v1/classifiers",
        content=b'{"name": "my-secret',
        headers={"content-type": "application/json"},
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
    assert "my-secret" not in answer.text


def test_too_large_bodies_are_refused_declared_or_not(api: TestClient) -> None:
    too_large = b"x" * 1_000_001

    def chunks() -> Iterator[bytes]:
        yield from (too_large[start : start + 65536] for start in range(0, len(too_large), 65536))

    for answer in (
        api.post("/v1/classifiers", content=too_large, headers=JSON),
        api.post("/v1/classifiers", content=chunks(), headers=JSON),
    ):
        assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")
        assert answer.json()["title"] == "Body too large"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "/v1/classifiers/learn"),
        ("PUT", "/v1/classifiers/signs/aliases/learn"),
        ("PUT", "/v1/classifiers/signs/aliases/predict"),
    ],
)
def test_names_do_not_make_room_for_large_bodies(api: TestClient, method: str, path: str) -> None:
    answer = api.request(method, path, content=b" " * (10**6 + 1))
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")
    assert "takes no files" in answer.json()["detail"]


def test_a_file_that_is_too_large_is_not_taken_for_a_wrong_path(api: TestClient) -> None:
    length = {"Content-Length": str(10**15)}
    answer = api.post("/v1/uploads", content=b"", headers=length)
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")
    assert "takes no files" not in answer.json()["detail"]


def test_unexpected_errors_show_nothing(database_url: str) -> None:
    app = FastAPI()
    app.add_middleware(RequestContext)

    @app.get("/")
    def fail() -> None:
        raise KeyError("the password is swordfish")

    answer = TestClient(app).get("/")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal-error")
    assert "swordfish" not in answer.text
    assert answer.json()["instance"] == answer.headers["x-request-id"]


def test_locked_database_is_503(api: TestClient, database: Database, settings: Settings) -> None:
    if database.engine.dialect.name != "sqlite":
        pytest.skip("only a database with one writer is locked as a whole")
    path = Path(settings.database_url.removeprefix("sqlite:///"))
    app_database: Database = api.app.state.database  # type: ignore[attr-defined]

    # The real limit is 15 seconds.
    @event.listens_for(app_database.engine, "checkout")
    def wait_less(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute("PRAGMA busy_timeout=50")

    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        answer = api.post("/v1/classifiers", json={"name": "signs"})
    finally:
        holder.execute("ROLLBACK")
        holder.close()
    assert (answer.status_code, answer.json()["code"]) == (503, "database-unavailable")
    assert answer.headers["retry-after"]


def rename(database: Database, table: str, to: str) -> None:
    with database.transaction() as session:
        session.connection().exec_driver_sql(f"ALTER TABLE {table} RENAME TO {to}")


def test_ready_says_what_is_missing(api: TestClient, database: Database) -> None:
    assert api.get("/health/live").json() == {"status": "ok"}
    assert api.get("/health/ready").json() == {"status": "ok"}
    rename(database, "classifiers", "gone")
    try:
        answer = api.get("/health/ready")
    finally:
        rename(database, "gone", "classifiers")
    assert (answer.status_code, answer.json()["code"]) == (503, "not-ready")
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/database"]
    assert api.get("/health/live").status_code == 200


def test_methods_and_backbones_are_described(api: TestClient) -> None:
    methods = {method["name"]: method for method in api.get("/v1/methods").json()["data"]}
    assert methods["icarl"]["needs"]["exemplars"]
    assert methods["icarl"]["classify"] == ["nearest_mean", "softmax", "discriminant"]
    assert methods["icarl"]["options"]["properties"]["epochs"]["default"] == 70
    backbones = {backbone["name"]: backbone for backbone in api.get("/v1/backbones").json()["data"]}
    assert backbones["resnet32"]["source"] == "accrue"
    assert backbones["resnet18"]["weights"]
