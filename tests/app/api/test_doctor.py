"""``/v1/doctor``: what `accrue doctor` says, for those who may see the whole installation."""

import pytest
from fastapi.testclient import TestClient

from app.db.engine import Database
from app.settings import Settings
from tests.app.keyed import bearer, new_key
from tests.databases import ONE_KIND_AT_FIRST


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"keys": "required"})


@ONE_KIND_AT_FIRST
def test_the_installation_is_examined(api: TestClient, database: Database) -> None:
    token = new_key(database, "admin")
    found = api.get("/v1/doctor", headers=bearer(token)).raise_for_status().json()
    said = {(each["check"], each["state"], each["what"]) for each in found["findings"]}
    assert ("keys", "ok", "Required; 1 are usable") in said
    assert ("workers", "warning", "No worker was seen within a minute") in said
    assert found["ok"] == all(state != "problem" for _, state, _ in said)


def test_who_may_not_see_all_workspaces(api: TestClient, database: Database) -> None:
    for scopes, workspace in ((["train", "predict", "metrics"], "default"), (["admin"], "lab")):
        token = new_key(database, *scopes, workspace=workspace)
        answer = api.get("/v1/doctor", headers=bearer(token))
        assert answer.json()["code"] == "missing-scope"
