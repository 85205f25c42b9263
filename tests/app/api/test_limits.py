"""What a key may use: predictions a second, waiting jobs, bytes stored."""

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from httpx import Response
from sqlalchemy import func, select

from app.db.engine import Database
from app.db.repositories import workspaces as workspace_rows
from app.db.tables import Blob
from app.services.access.limits import RateLimitedError, TokenBucket
from app.settings import Settings
from tests.app import learnt
from tests.app.keyed import bearer, new_key
from tests.app.learnt import Published
from tests.pictures import encode, png

PNG = {"Content-Type": "image/png"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"keys": "required"})


@pytest.fixture
def api(api: TestClient, database: Database) -> TestClient:
    """A client with a key that has no limits."""
    api.headers.update(bearer(new_key(database, "admin")))
    return api


def images(*seeds: int) -> dict[str, Any]:
    return body_of(*(png(seed, 16, 16) for seed in seeds))


def body_of(*files: bytes) -> dict[str, Any]:
    return {"images": [{"label": "stop", "b64": base64.b64encode(data).decode()} for data in files]}


def large(seed: int) -> dict[str, Any]:
    """1.27 megabytes of noise, which nothing makes smaller."""
    noise = np.random.default_rng(seed).integers(0, 256, (650, 650, 3), dtype=np.uint8)
    return body_of(encode(noise))


def refused(answer: Response, code: str) -> int:
    """Return the seconds after which to come back."""
    assert (answer.status_code, answer.json()["code"]) == (429, code), answer.text
    seconds = int(answer.headers["Retry-After"])
    assert seconds >= 1
    return seconds


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_predictions_are_limited_by_images(
    api: TestClient, database: Database, publish: Callable[..., Published]
) -> None:
    publish()
    slow = bearer(new_key(database, "predict", images_per_second=0.01))
    path = "/v1/classifiers/signs/predict"
    # What a second brings may be overdrawn by one request; the next one pays for it.
    batch = {"images": [{"b64": image["b64"]} for image in images(1, 2, 3)["images"]]}
    assert api.post(path, json=batch, headers=slow).status_code == 200
    assert 100 <= refused(api.post(path, json=batch, headers=slow), "rate-limited") <= 200
    refused(api.post("/predict", content=learnt.png(), headers={**slow, **PNG}), "rate-limited")
    assert api.get("/v1/classifiers/signs", headers=slow).status_code == 200
    # Another key of the same workspace has its own rate limit.
    for _ in range(3):
        assert api.post(path, json=batch).status_code == 200


def test_a_token_bucket_fills_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("app.services.access.limits.time.monotonic", lambda: now)
    bucket = TokenBucket(10)
    bucket.require()
    bucket.spend(64)
    with pytest.raises(RateLimitedError) as refused:
        bucket.require()
    assert refused.value.headers["Retry-After"] == "6"
    now += 5.3
    with pytest.raises(RateLimitedError):
        bucket.require()
    now += 0.2
    bucket.require()
    # A second's worth at most, however long no request comes.
    now += 1000
    bucket.require()
    bucket.spend(10)
    with pytest.raises(RateLimitedError):
        bucket.require()


def test_waiting_jobs_are_limited(api: TestClient, database: Database) -> None:
    limited = bearer(new_key(database, "train", waiting_jobs=1))
    body = {"name": "signs", "method": "finetune", "backbone": "convnet", "image_size": 8}
    api.post("/v1/classifiers", json=body).raise_for_status()
    upload = api.post("/v1/uploads", json=images(1, 2)).raise_for_status().json()["id"]
    jobs, learn = "/v1/classifiers/signs/jobs", "/v1/classifiers/signs/learn"
    first = api.post(jobs, json={"uploads": [upload]}, headers=limited)
    assert first.status_code == 202
    refused(api.post(jobs, json={"uploads": [upload]}, headers=limited), "too-many-jobs")
    refused(api.post(learn, json=images(3, 4), headers=limited), "too-many-jobs")
    assert [each["id"] for each in api.get("/v1/uploads").json()["data"]] == [upload]
    # A key without the limit adds one; cancelled ones do not wait, nor do those of others.
    second = api.post(jobs, json={"uploads": [upload]}).raise_for_status().json()["id"]
    cancelled = first.json()["id"]
    for job in (cancelled, second):
        api.post(f"/v1/jobs/{job}/cancel").raise_for_status()
    assert api.post(learn, json=images(3, 4), headers=limited).status_code == 202
    refused(api.post(f"/v1/jobs/{cancelled}/retry", headers=limited), "too-many-jobs")
    assert api.get(f"/v1/jobs/{cancelled}").json()["state"] == "cancelled"


def test_stored_bytes_are_limited(
    api: TestClient, database: Database, publish: Callable[..., Published]
) -> None:
    publish()
    limited = bearer(new_key(database, "train", stored_megabytes=2))

    def send(body: dict[str, Any], **headers: str) -> Response:
        return api.post("/v1/uploads", json=body, headers={**limited, **headers})

    first = send(large(1))
    assert first.status_code == 201
    # The same bytes again do not count twice.
    again = send(large(1)).raise_for_status().json()["id"]
    refused(send(large(2)), "storage-quota")
    refused(
        api.post(f"/v1/uploads/{again}/images", json=large(2), headers=limited),
        "storage-quota",
    )
    refused(
        api.post("/v1/classifiers/signs/learn?on_existing=extend", json=large(2), headers=limited),
        "storage-quota",
    )
    listed = api.get("/v1/uploads").json()["data"]
    assert [upload["accepted"] for upload in listed] == [1, 1]
    # A key without the limit adds more; then a body with the limited key is not even read.
    api.post("/v1/uploads", json=large(2)).raise_for_status()
    refused(api.post("/v1/uploads", content=b"", headers=limited), "storage-quota")
    jobs = "/v1/classifiers/signs/jobs"
    body = {"uploads": [again], "on_existing": "extend"}
    refused(api.post(jobs, json=body, headers=limited), "storage-quota")
    for upload in api.get("/v1/uploads").json()["data"]:
        api.delete(f"/v1/uploads/{upload['id']}").raise_for_status()
    assert send(large(1)).status_code == 201


def test_all_that_a_workspace_has_counts_once(
    api: TestClient, database: Database, publish: Callable[..., Published]
) -> None:
    publish(exemplars=[learnt.png(0), learnt.png(1)])
    publish(alias="canary")  # the same tensors
    api.post("/v1/uploads", json=images(0, 1, 2)).raise_for_status()
    other = bearer(new_key(database, "train", workspace="another"))
    upload = api.post("/v1/uploads", json=images(0), headers=other).raise_for_status().json()
    image = len(png(0, 16, 16))
    with database.reading() as session:
        everything = session.scalar(select(func.sum(Blob.size)))
        assert workspace_rows.stored_bytes(session, "default") == everything
        assert workspace_rows.stored_bytes(session, "another") == image
        assert workspace_rows.stored_bytes(session, "none") == 0
    api.delete(f"/v1/uploads/{upload['id']}", headers=other).raise_for_status()
    with database.reading() as session:
        assert workspace_rows.stored_bytes(session, "another") == 0
