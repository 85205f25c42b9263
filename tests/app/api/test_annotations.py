"""Descriptions and metadata: what users note about classifiers and versions."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.db.engine import Database
from app.db.repositories import classifiers as classifier_rows
from app.services.classifiers import versions
from app.services.upkeep import manifests, reindexing
from app.storage import BlobStore
from tests.app.learnt import BODY, Published
from tests.databases import ONE_KIND_AT_FIRST

SIGNS = "/v1/classifiers/signs"
NOTED = {"description": "Of the north.", "metadata": {"owner": "Ann", "ticket": "42"}}

TOO_MUCH = {
    "too many keys": {"metadata": {f"key {number}": "" for number in range(17)}},
    "a long key": {"metadata": {"k" * 65: ""}},
    "an empty key": {"metadata": {"": "text"}},
    "a long value": {"metadata": {"key": "v" * 513}},
    "no text": {"metadata": {"key": 1}},
    "a long description": {"description": "d" * 1001},
}


def test_a_classifier_keeps_what_is_noted(api: TestClient) -> None:
    made = api.post("/v1/classifiers", json={"name": "signs", **BODY, **NOTED})
    assert made.raise_for_status().json() == api.get(SIGNS).json()
    assert {name: made.json()[name] for name in NOTED} == NOTED
    changed = api.patch(SIGNS, json={"metadata": {"owner": "Bo"}}).raise_for_status().json()
    assert changed == made.json() | {"metadata": {"owner": "Bo"}}
    emptied = api.patch(SIGNS, json={"metadata": {}, "description": ""}).json()
    assert (emptied["metadata"], emptied["description"]) == ({}, "")


def test_a_version_keeps_what_is_noted(api: TestClient, publish: Callable[..., Published]) -> None:
    publish()
    path = f"{SIGNS}/versions/live"
    before = api.get(path).json()
    assert (before["description"], before["metadata"]) == ("", {})
    changed = api.patch(path, json=NOTED).raise_for_status().json()
    assert api.get(path).json() == {**before, **NOTED}
    assert changed == {**before, **NOTED, "engine": None}
    api.patch(path, json={"description": None, "metadata": {"a": "b"}}).raise_for_status()
    (listed,) = api.get(f"{SIGNS}/versions").json()["data"]
    assert (listed["description"], listed["metadata"]) == ("Of the north.", {"a": "b"})
    for wrong in ({"number": 7}, {"metrics": {}}):
        assert api.patch(path, json=wrong).status_code == 422
    missing = api.patch(f"{SIGNS}/versions/9", json=NOTED)
    assert (missing.status_code, missing.json()["code"]) == (404, "version-not-found")


def test_versions_are_found_by_what_is_noted(
    api: TestClient, publish: Callable[..., Published]
) -> None:
    key = "ünï 'code' \"quoted\" $.[0]"
    for metadata in ({"owner": "Ann"}, {"owner": "Ann", key: "42"}, {"owner": "Bo"}, {}):
        publish()
        body = {"metadata": metadata}
        api.patch(f"{SIGNS}/versions/live", json=body).raise_for_status()

    def found(**asked: Any) -> list[int]:
        query = {**asked, "metadata": json.dumps(asked["metadata"])}
        page = api.get(f"{SIGNS}/versions", params=query).raise_for_status().json()
        return [version["number"] for version in page["data"]]

    assert found(metadata={}) == [4, 3, 2, 1]
    assert found(metadata={"owner": "Ann"}) == [2, 1]
    assert found(metadata={"owner": "Ann"}, limit=1, after=2) == [1]
    assert found(metadata={"owner": "Ann", key: "42"}) == [2]
    assert found(metadata={"owner": "Cy"}) == []
    assert found(metadata={"owner": "Bo"}, since="2026-01-01T00:00:00Z") == [3]
    assert found(metadata={}, since="2999-01-01T00:00:00Z") == []
    (when,) = api.get(f"{SIGNS}/versions?since=yesterday").json()["errors"]
    assert when["detail"] == "not a time such as 2026-11-29T12:00:00Z"
    wrong = api.get(f"{SIGNS}/versions", params={"metadata": '{"owner": 1}'})
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["pointer"] == "/query/metadata/owner"


@ONE_KIND_AT_FIRST
@pytest.mark.parametrize("body", TOO_MUCH.values(), ids=TOO_MUCH)
def test_what_is_noted_has_bounds(
    api: TestClient, publish: Callable[..., Published], body: dict[str, Any]
) -> None:
    publish()
    (field,) = body
    for answer in (
        api.post("/v1/classifiers", json={"name": "more", **body}),
        api.patch(SIGNS, json=body),
        api.patch(f"{SIGNS}/versions/1", json=body),
    ):
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"].startswith(f"/{field}")


def test_what_is_noted_survives_the_database(
    api: TestClient,
    publish: Callable[..., Published],
    database: Database,
    store: BlobStore,
    migrated_sqlite: Path,
    tmp_path: Path,
) -> None:
    publish()
    api.patch(f"{SIGNS}/versions/1", json=NOTED).raise_for_status()
    with database.reading() as session:
        (classifier_id,) = classifier_rows.all_ids(session)
    manifests.write(database, store, classifier_id)
    shutil.copy(migrated_sqlite, tmp_path / "restored.db")
    restored = Database(f"sqlite:///{tmp_path / 'restored.db'}")
    assert reindexing.reindex(restored, store, merge=False).problems == []
    found = versions.get(restored, "default", "signs", "1")
    assert {"description": found.description, "metadata": found.metadata} == NOTED
    restored.close()
