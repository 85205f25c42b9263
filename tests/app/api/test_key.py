"""``/v1/key``: whose key a request was sent with, and what is left of its limits."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.db.engine import Database
from app.main import create_app
from app.security import tokens
from app.settings import Settings
from tests.app.api.test_limits import images
from tests.app.keyed import bearer, new_key
from tests.app.learnt import Published, png
from tests.databases import ONE_KIND_AT_FIRST


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"keys": "required", "key_stored_megabytes": 3})


def own(api: TestClient, token: str) -> Any:
    return api.get("/v1/key", headers=bearer(token)).raise_for_status().json()


@ONE_KIND_AT_FIRST
def test_a_key_learns_what_it_may_do(api: TestClient, database: Database) -> None:
    token = new_key(database, "predict", "train", name="ci", workspace="lab", expires_days=7)
    found = own(api, token)
    assert found.pop("expires_at") > "20"
    assert found == {
        "id": tokens.id_of(token),
        "name": "ci",
        "workspace": "lab",
        "scopes": ["predict", "train"],
        "limits": {
            "images_per_second": None,
            "waiting_jobs": None,
            "stored_bytes": {"limit": 3_000_000, "used": 0, "remaining": 3_000_000},
        },
    }
    assert own(api, new_key(database, "metrics"))["expires_at"] is None


def test_what_is_left_of_limits(
    api: TestClient, database: Database, publish: Callable[..., Published]
) -> None:
    api.headers.update(bearer(new_key(database, "admin")))
    publish()
    limited = new_key(database, "admin", images_per_second=0.5, waiting_jobs=2)
    assert own(api, limited)["limits"]["images_per_second"] == {
        "limit": 0.5,
        "remaining": 1,
        "reset_seconds": 0,
    }
    before = own(api, limited)["limits"]["stored_bytes"]["used"]
    learn = "/v1/classifiers/signs/learn?on_existing=extend"
    api.post(learn, json=images(3, 4)).raise_for_status()
    headers = {**bearer(limited), "Content-Type": "image/png"}
    api.post("/predict", content=png(), headers=headers).raise_for_status()
    limits = own(api, limited)["limits"]
    assert limits["waiting_jobs"] == {"limit": 2, "used": 1, "remaining": 1}
    assert limits["stored_bytes"]["used"] > before
    rate = limits["images_per_second"]
    assert (rate["remaining"], rate["reset_seconds"]) in {(0, 1), (0, 0)}


@ONE_KIND_AT_FIRST
def test_without_keys_all_may_be_done(settings: Settings) -> None:
    with TestClient(create_app(settings.model_copy(update={"keys": "off"}))) as api:
        assert api.get("/v1/key").json() == {
            "id": None,
            "name": None,
            "workspace": "default",
            "scopes": ["admin"],
            "expires_at": None,
            "limits": {"images_per_second": None, "waiting_jobs": None, "stored_bytes": None},
        }
