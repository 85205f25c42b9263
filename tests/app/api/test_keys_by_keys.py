"""``/v1/keys``: keys that make, list and revoke keys, and never have more than their maker."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.db.engine import Database
from app.db.tables import ApiKey
from app.main import create_app
from app.security import tokens
from app.settings import Settings
from tests.app.keyed import bearer, new_key

CI = {"name": "ci", "scopes": ["train", "predict"]}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"keys": "required"})


@pytest.fixture
def admin(database: Database) -> str:
    return new_key(database, "admin", name="chief")


def make(api: TestClient, maker: str, **given: object) -> Any:
    return api.post("/v1/keys", json={**CI, **given}, headers=bearer(maker))


def test_a_key_is_made_shown_once_and_revoked(
    api: TestClient, database: Database, admin: str
) -> None:
    answer = make(api, admin, expires_days=2)
    made = answer.raise_for_status().json()
    token = made.pop("key")
    assert answer.headers["Cache-Control"] == "no-store"
    assert made["scopes"] == ["predict", "train"]
    assert made["created_by"] == tokens.id_of(admin)
    ends = datetime.fromisoformat(made["expires_at"])
    assert abs(ends - datetime.now(UTC) - timedelta(days=2)) < timedelta(minutes=5)
    assert api.get("/v1/jobs", headers=bearer(token)).status_code == 200
    assert api.get("/v1/keys", headers=bearer(token)).json()["code"] == "missing-scope"

    # It is nowhere else: not in lists, and in the database as a hash only.
    place = answer.headers["Location"]
    assert api.get(place, headers=bearer(admin)).json() == made
    page = api.get("/v1/keys", params={"limit": 1}, headers=bearer(admin)).json()
    assert (page["data"], page["has_more"]) == ([made], True)
    after = {"after": page["next"]}
    rest = api.get("/v1/keys", params=after, headers=bearer(admin)).json()["data"]
    assert [(each["name"], each["created_by"]) for each in rest] == [("chief", None)]
    with database.reading() as session:
        row = session.scalars(select(ApiKey).where(ApiKey.name == "ci")).one()
        assert row.digest == tokens.digest(token)
        assert token not in str(vars(row))

    assert make(api, admin).json()["code"] == "key-name-taken"
    assert api.delete(place, headers=bearer(admin)).status_code == 204
    assert api.get(place, headers=bearer(admin)).json()["state"] == "revoked"
    assert api.delete("/v1/keys/nobody", headers=bearer(admin)).json()["code"] == "key-not-found"


def test_no_key_makes_one_that_has_more(api: TestClient, database: Database) -> None:
    limits = {"images_per_second": 5.0, "waiting_jobs": 3, "stored_megabytes": 100}
    maker = new_key(database, "admin", expires_days=1, **limits)
    more = {"images_per_second": 6, "waiting_jobs": 4, "stored_megabytes": 101}
    refused = make(api, maker, **more)
    assert refused.json()["code"] == "key-beyond-maker"
    assert {each["pointer"] for each in refused.json()["errors"]} == {f"/{name}" for name in more}

    made = make(api, maker, expires_days=300, waiting_jobs=2).raise_for_status().json()
    own = api.get("/v1/key", headers=bearer(made["key"])).json()
    maker_ends = api.get("/v1/key", headers=bearer(maker)).json()["expires_at"]
    assert own["expires_at"] == made["expires_at"] == maker_ends
    found = own["limits"]
    assert found["images_per_second"]["limit"] == limits["images_per_second"]
    assert found["waiting_jobs"]["limit"] == 2
    assert found["stored_bytes"]["limit"] == 100 * 10**6


def test_a_workspace_sees_its_own_keys_only(
    api: TestClient, database: Database, admin: str
) -> None:
    lab = new_key(database, "admin", name="lab", workspace="lab")
    made = make(api, lab, name="robot").raise_for_status().json()
    assert api.get("/v1/key", headers=bearer(made["key"])).json()["workspace"] == "lab"
    names = {each["name"] for each in api.get("/v1/keys", headers=bearer(admin)).json()["data"]}
    assert names == {"chief"}
    for key in (made["id"], "robot"):
        for ask in (api.get, api.delete):
            answer = ask(f"/v1/keys/{key}", headers=bearer(admin))
            assert answer.json()["code"] == "key-not-found"


def test_wrong_requests_make_no_key(api: TestClient, database: Database, admin: str) -> None:
    wrong: list[dict[str, object]] = [
        {"scopes": []},
        {"scopes": ["root"]},
        {"scopes": ["train", "train"]},
        {"name": "two words"},
        {"expires_days": 0},
        {"workspace": "other"},
        {"waiting_jobs": "3"},
    ]
    for given in wrong:
        assert make(api, admin, **given).json()["code"] == "invalid-request", given
    with database.reading() as session:
        assert session.scalars(select(ApiKey.name)).all() == ["chief"]


def test_without_keys_none_is_made_for_later(settings: Settings) -> None:
    with TestClient(create_app(settings.model_copy(update={"keys": "off"}))) as api:
        assert api.post("/v1/keys", json=CI).json()["code"] == "keys-off"
        assert api.get("/v1/keys").json()["code"] == "keys-off"
        assert api.delete("/v1/keys/ci").json()["code"] == "keys-off"
