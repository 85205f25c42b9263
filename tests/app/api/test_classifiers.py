"""Classifiers over HTTP."""

import json
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.db.engine import Database
from app.db.repositories import classifiers as classifier_rows
from app.db.tables import Job
from app.ids import new_id
from models import methods
from models.spec import Spec
from tests.app.learnt import Published
from tests.databases import ONE_KIND_AT_FIRST

URL = "/v1/classifiers"
JSON = {"content-type": "application/json"}


@ONE_KIND_AT_FIRST
def test_everything_but_the_name_has_a_default(api: TestClient) -> None:
    answer = api.post(URL, json={"name": "signs"})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == "/v1/classifiers/signs"
    made = answer.json()
    assert (made["method"], made["backbone"]) == ("analytic", "efficientnet_lite0")
    assert (made["weights"], made["image_size"]) == ("DEFAULT", None)
    assert made["options"]["dimensions"] == 2048
    assert made["augment"] == {"crop": None, "flip": True, "policy": "none"}
    assert made["live"] is None
    assert api.get(f"{URL}/signs").json() == made


@ONE_KIND_AT_FIRST
def test_a_method_s_name_is_enough(api: TestClient) -> None:
    made = api.post(URL, json={"name": "signs", "method": "icarl"}).json()
    assert (made["backbone"], made["weights"], made["image_size"]) == ("resnet32", None, 32)
    assert made["options"]["epochs"] == 70
    assert made["memory"]["exemplars"] == 2000
    assert made["augment"] == {"crop": 4, "flip": True, "policy": "none"}
    assert made["live"] is None
    assert api.get(f"{URL}/signs").json() == made


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ({"method": "nope"}, "invalid-options", "/method"),
        ({"options": {"epochs": 0}}, "invalid-options", "/options/epochs"),
        ({"options": {"nope": 1}}, "invalid-options", "/options/nope"),
        ({"backbone": "nope"}, "invalid-options", "/backbone"),
        ({"method": "icarl", "weights": "DEFAULT"}, "invalid-options", "/weights"),
        ({"name": "a/b"}, "invalid-request", "/name"),
        ({"image_size": 4}, "invalid-request", "/image_size"),
        ({"resize": "stretch"}, "invalid-request", "/resize"),
        ({"memory": {}}, "invalid-request", "/memory"),
        ({"memory": {"exemplars": 1, "megabytes": 1}}, "invalid-request", "/memory"),
        ({"promotion": {"policy": "guarded"}}, "invalid-request", "/promotion"),
        ({"validation_fraction": 1}, "invalid-request", "/validation_fraction"),
        ({"options": {"lr": float("nan")}}, "invalid-request", "/options/lr"),
        ({"options": {"milestones": [float("inf")]}}, "invalid-request", "/options/milestones"),
        ({"memory": {"megabytes": float("inf")}}, "invalid-request", "/memory/megabytes"),
        ({"memory": {"exemplars": 1, "format": "jpeg"}}, "invalid-request", "/memory/format"),
        ({"memory": {"exemplars": 1, "quality": 101}}, "invalid-request", "/memory/quality"),
        ({"augment": {"policy": "cifar10"}}, "invalid-request", "/augment/policy"),
        ({"validation_fraction": float("nan")}, "invalid-request", "/validation_fraction"),
        ({"regularizer": {"name": "\ud800"}}, "invalid-request", "/regularizer/name"),
        ({"method": "\ud800"}, "invalid-request", "/method"),
        ({"weights": "\udfff"}, "invalid-request", "/weights"),
        ({"options": {"\ud800": 1}}, "invalid-request", "/options"),
        ({"options": {"a": [{"\ud800": 1}]}}, "invalid-request", "/options/a"),
        ({"\ud800": 1}, "invalid-request", ""),
        ({"memory": {"\ud800": 1}}, "invalid-request", "/memory"),
        ({"colour": "secret-input"}, "invalid-request", "/colour"),
    ],
)
@ONE_KIND_AT_FIRST
def test_wrong_bodies_are_pointed_at(
    api: TestClient, body: dict[str, Any], code: str, pointer: str
) -> None:
    content = json.dumps({"name": "signs", **body})
    answer = api.post(URL, content=content, headers=JSON)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == code
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    assert "secret-input" not in answer.text
    assert api.get(URL).json()["data"] == []


@ONE_KIND_AT_FIRST
@pytest.mark.parametrize("name", ["traffic signs", "Ampel-größe", ".signs", "signs\n", "signs/2"])
def test_what_a_name_may_hold_is_said_in_words(api: TestClient, name: str) -> None:
    api.post(URL, json={"name": "signs"}).raise_for_status()
    answers = {
        "letters A to Z": api.post(URL, json={"name": name}),
        "begins with a letter": api.put(f"{URL}/signs/aliases/1st", json={"version": 1}),
        "begins with upl_": api.post(f"{URL}/signs/jobs", json={"kind": "learn", "uploads": ["1"]}),
        "64 characters": api.get("/v1/images/1"),
        "visible characters": api.post(
            URL, json={"name": "other"}, headers={"Idempotency-Key": "two words"}
        ),
    }
    for words, answer in answers.items():
        (error,) = answer.json()["errors"]
        assert words in error["detail"]
        assert "[" not in error["detail"]


@ONE_KIND_AT_FIRST
def test_numbers_beyond_a_double_are_refused(api: TestClient) -> None:
    api.post(URL, json={"name": "signs"}).raise_for_status()
    content = '{"name": "other", "options": {"lr": 1e999}}'
    for answer in (
        api.post(URL, content=content, headers=JSON),
        api.patch(f"{URL}/signs", content='{"options": {"lr": 1e999}}', headers=JSON),
    ):
        assert answer.status_code == 422
        assert [error["pointer"] for error in answer.json()["errors"]] == ["/options/lr"]


def test_a_field_that_there_is_not_is_said_so(api: TestClient) -> None:
    problem = api.post(URL, json={"name": "signs", "metod": "icarl"}).json()
    assert problem["errors"] == [{"pointer": "/metod", "detail": "There is no field of this name."}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{'name': 'x'}", "Expecting property name enclosed in double quotes (character 2)."),
        ('{"name": "x"', "Expecting ',' delimiter (character 13)."),
    ],
)
def test_where_json_is_wrong_is_said(api: TestClient, content: str, said: str) -> None:
    answer = api.post(URL, content=content, headers=JSON)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"pointer": "", "detail": f"Not JSON: {said}"}]


@ONE_KIND_AT_FIRST
def test_an_invalid_option_is_named_once(api: TestClient) -> None:
    problem = api.post(URL, json={"name": "signs", "options": {"epochs": 0}}).json()
    assert "/options" not in problem["detail"]


def test_names_are_unique(api: TestClient) -> None:
    api.post(URL, json={"name": "signs"}).raise_for_status()
    answer = api.post(URL, json={"name": "signs"})
    assert (answer.status_code, answer.json()["code"]) == (409, "classifier-exists")


@ONE_KIND_AT_FIRST
def test_list_goes_page_by_page(api: TestClient) -> None:
    for name in ("c", "a", "e", "b", "d"):
        api.post(URL, json={"name": name}).raise_for_status()
    seen, after = [], None
    while True:
        page = api.get(URL, params={"limit": 2, **({"after": after} if after else {})}).json()
        seen += [item["name"] for item in page["data"]]
        assert page["has_more"] == (page["next"] is not None)
        if not page["has_more"]:
            break
        after = page["next"]
    assert seen == ["a", "b", "c", "d", "e"]


@ONE_KIND_AT_FIRST
def test_change_holds_for_later_jobs(api: TestClient) -> None:
    api.post(URL, json={"name": "signs", "options": {"lr": 0.5}}).raise_for_status()
    patch = {"options": {"epochs": 3}, "memory": {"megabytes": 2}, "keep_images": True}
    changed = api.patch(f"{URL}/signs", json=patch).json()
    assert (changed["options"]["epochs"], changed["options"]["lr"]) == (3, 0.5)
    limit = {"exemplars": None, "megabytes": 2}
    assert changed["memory"] == {**limit, "format": "original", "quality": 75}
    assert changed["keep_images"]
    assert api.get(f"{URL}/signs").json() == changed


@ONE_KIND_AT_FIRST
def test_defaults_follow_the_options_they_depend_on(api: TestClient) -> None:
    made = api.post(URL, json={"name": "signs", "options": {"momentum": 0.5}}).json()["options"]
    body = {"name": "other", "options": {"loss": "ce_kd", "momentum": 0.5}}
    other = api.post(URL, json=body).json()["options"]
    assert made["weight_decay"] != other["weight_decay"]
    changed = api.patch(f"{URL}/signs", json={"options": {"loss": "ce_kd"}}).json()["options"]
    assert changed == other
    back = api.patch(f"{URL}/signs", json={"options": {"loss": None}}).json()["options"]
    assert back == made
    (listed,) = (c for c in api.get(URL).json()["data"] if c["name"] == "signs")
    assert listed["options"] == made


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # which has one writer
def test_checking_options_holds_up_no_writer(
    api: TestClient, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(database_url.removeprefix("sqlite:///"))
    validate, calls = methods.validate, 0

    def slow(spec: Spec) -> Spec:
        nonlocal calls
        calls += 1
        with sqlite3.connect(path, timeout=0.1, isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute("ROLLBACK")
        return validate(spec)

    monkeypatch.setattr(methods, "validate", slow)
    api.post(URL, json={"name": "signs", "method": "icarl"}).raise_for_status()
    api.patch(f"{URL}/signs", json={"options": {"epochs": 1}}).raise_for_status()
    job = api.post(f"{URL}/signs/jobs", json={"uploads": ["upl_none"]})
    assert job.json()["code"] == "unknown-upload"
    assert calls == 3


@ONE_KIND_AT_FIRST
def test_what_versions_rest_on_cannot_change(api: TestClient) -> None:
    api.post(URL, json={"name": "signs"}).raise_for_status()
    before = api.get(f"{URL}/signs").json()
    for patch in (
        {"backbone": "convnet"},
        {"image_size": 64},
        {"resize": "pad"},
        {"options": {"epochs": -1}},
    ):
        assert api.patch(f"{URL}/signs", json=patch).status_code == 422
    assert api.get(f"{URL}/signs").json() == before


@pytest.mark.parametrize("state", ["queued", "running", "cancelling"])
def test_delete_waits_for_jobs(api: TestClient, database: Database, state: str) -> None:
    api.post(URL, json={"name": "signs"}).raise_for_status()
    job = Job(
        id=new_id("job"),
        kind="learn",
        request={},
        state=state,
        created_at=datetime.now(UTC),
    )
    with database.transaction() as session:
        owner = classifier_rows.find(session, "default", "signs")
        assert owner is not None
        job.classifier_id = owner.id
        session.add(job)
    answer = api.delete(f"{URL}/signs")
    assert (answer.status_code, answer.json()["code"]) == (409, "classifier-in-use")
    with database.transaction() as session:
        session.get_one(Job, job.id).state = "cancelled"
    deleted = api.delete(f"{URL}/signs")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert "content-type" not in deleted.headers
    for answer in (api.get(f"{URL}/signs"), api.delete(f"{URL}/signs")):
        assert (answer.status_code, answer.json()["code"]) == (404, "classifier-not-found")


def test_with_versions_a_delete_is_confirmed_by_name(
    api: TestClient, publish: Callable[..., Published]
) -> None:
    publish()
    for query in ("", "?confirm=", "?confirm=true", "?confirm=Signs"):
        answer = api.delete(f"{URL}/signs{query}")
        assert (answer.status_code, answer.json()["code"]) == (409, "confirmation-required"), query
        assert "confirm" in answer.json()["detail"]
    assert api.get(f"{URL}/signs").json()["live"] == 1
    assert api.delete(f"{URL}/signs?confirm=signs").status_code == 204
    # Without versions nothing is lost that cannot be made again; another name is still a mistake.
    api.post(URL, json={"name": "signs"}).raise_for_status()
    assert api.delete(f"{URL}/signs?confirm=fish").status_code == 409
    assert api.delete(f"{URL}/signs").status_code == 204


def test_lists_by_the_beginning_of_names(api: TestClient) -> None:
    for name in ("signs", "signs_de", "signsXde", "Signs", "fish"):
        api.post(URL, json={"name": name, "method": "finetune"}).raise_for_status()

    def listed(**query: Any) -> set[str]:
        return {each["name"] for each in api.get(URL, params=query).json()["data"]}

    assert listed(prefix="signs") == {"signs", "signs_de", "signsXde"}
    assert listed(prefix="signs_") == {"signs_de"}
    assert listed(prefix="fish", limit=1) == {"fish"}
    assert listed(prefix="%") == set()
    assert len(listed()) == 5
