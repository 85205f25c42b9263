"""Classifiers that the pages show as JSON and TOML are made, or refused as they say."""

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.bench.plan import read_plan
from tests.databases import ONE_KIND_AT_FIRST
from tests.docs.blocks import snippets

pytestmark = ONE_KIND_AT_FIRST

CLASSIFIERS = "/v1/classifiers"


SHOWN = [snippets("docs/api.md", "json")[0], *snippets("docs/methods.md", "json")]


@pytest.mark.parametrize("text", SHOWN)
def test_a_classifier_is_made_as_it_was_asked_for(api: TestClient, text: str) -> None:
    shown = json.loads(text)
    made = api.post(CLASSIFIERS, json=shown).raise_for_status().json()
    for name, value in shown.items():
        if isinstance(value, dict):  # it has more fields, with their defaults
            assert value.items() <= made[name].items(), name
        else:
            assert made[name] == value, name


def test_what_does_not_fit_is_refused_as_the_page_shows(api: TestClient) -> None:
    (shown,) = snippets("docs/methods.md", "http")
    status, _, body = shown.partition("\n")
    asked = {"name": "signs", "method": "icarl", "regularizer": {"name": "cs_kd"}}
    answer = api.post(CLASSIFIERS, json=asked)
    assert status.split()[1] == str(answer.status_code)
    assert json.loads(body) == answer.json() | {"instance": json.loads(body)["instance"]}


def test_the_rows_of_a_plan_are_classifiers(api: TestClient, tmp_path: Path) -> None:
    (shown,) = snippets("docs/quickstart.md", "toml")
    path = tmp_path / "plan.toml"
    path.write_text(shown)
    plan = read_plan(path)
    titles = [title for row in plan.rows for title in row.titles]
    assert titles == ["icarl", "icarl, softmax", "a network for each task"]
    for number, row in enumerate(plan.rows):
        body = plan.body(row, plan.seeds[0]) | {"name": f"row-{number}"}
        api.post(CLASSIFIERS, json=body).raise_for_status()
