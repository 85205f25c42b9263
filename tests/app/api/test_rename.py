"""A classifier gets another name, and keeps all else."""

from collections.abc import Callable
from typing import Any

from fastapi.testclient import TestClient

from app.inference.registry import Registry
from tests.app.learnt import BODY, LABELS, Published, png
from tests.databases import ONE_KIND_AT_FIRST

URL = "/v1/classifiers"


def predict(api: TestClient, name: str) -> Any:
    headers = {"Content-Type": "image/png"}
    return api.post(f"{URL}/{name}/predict", content=png(), headers=headers)


def test_a_renamed_classifier_answers_under_its_new_name(
    api: TestClient, publish: Callable[..., Published]
) -> None:
    publish()
    before = predict(api, "signs").raise_for_status().json()
    renamed = api.patch(f"{URL}/signs", json={"name": "boards"}).raise_for_status().json()
    assert (renamed["name"], renamed["live"]) == ("boards", 1)
    assert predict(api, "boards").json() == {**before, "classifier": "boards"}
    for path in (f"{URL}/signs", f"{URL}/signs/versions/1"):
        assert api.get(path).status_code == 404
    assert predict(api, "signs").json()["code"] == "classifier-not-found"
    # The name is free at once, and leads to what has it now.
    api.post(URL, json={"name": "signs", **BODY}).raise_for_status()
    assert predict(api, "signs").json()["code"] == "no-version-yet"
    assert predict(api, "boards").status_code == 200
    assert [each["name"] for each in api.get(URL).json()["data"]] == ["boards", "signs"]


@ONE_KIND_AT_FIRST
def test_names_can_be_exchanged(
    api: TestClient, registry: Registry, publish: Callable[..., Published]
) -> None:
    publish()
    api.post(URL, json={"name": "other", **BODY}).raise_for_status()
    for name, becomes in (("signs", "aside"), ("other", "signs"), ("aside", "other")):
        api.patch(f"{URL}/{name}", json={"name": becomes}).raise_for_status()
    assert predict(api, "other").json()["results"][0]["label"] in LABELS
    assert predict(api, "signs").json()["code"] == "no-version-yet"
    # The only one that is left is known by its name.
    api.delete(f"{URL}/signs").raise_for_status()
    registry.refresh()
    answer = api.post("/predict", content=png(), headers={"Content-Type": "image/png"})
    assert answer.raise_for_status().json()["classifier"] == "other"


def test_a_name_that_is_taken_or_wrong_changes_nothing(
    api: TestClient, publish: Callable[..., Published]
) -> None:
    publish()
    api.post(URL, json={"name": "taken", **BODY}).raise_for_status()
    before = api.get(f"{URL}/signs").json()
    answer = api.patch(f"{URL}/signs", json={"name": "taken", "seed": 1})
    assert answer.status_code == 422  # a seed does not change
    answer = api.patch(f"{URL}/signs", json={"name": "taken", "pinned": True})
    assert (answer.status_code, answer.json()["code"]) == (409, "classifier-exists")
    for wrong in ("", "a/b", "ä", "-"):
        assert api.patch(f"{URL}/signs", json={"name": wrong}).status_code == 422
    assert api.patch(f"{URL}/signs", json={"name": "signs"}).json() == before
    assert api.get(f"{URL}/signs").json() == before
