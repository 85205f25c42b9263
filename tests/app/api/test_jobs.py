"""Jobs over HTTP. No worker runs: what one does to them is tested with real ones elsewhere."""

import base64
import io
import json
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response

from app.db.rows import insert
from app.db.tables import Alias, Job, Version
from tests.app import learnt
from tests.app.learnt import LABELS, Published
from tests.databases import ONE_KIND_AT_FIRST
from tests.pictures import png

pytestmark = ONE_KIND_AT_FIRST


def images(*labels: str, count: int = 2) -> dict[str, Any]:
    return {
        "images": [
            {"label": label, "b64": base64.b64encode(png(seed)).decode()}
            for place, label in enumerate(labels)
            for seed in range(10 * place, 10 * place + count)
        ]
    }


@pytest.fixture
def upload(api: TestClient) -> str:
    """An upload, and the classifier "signs" to teach."""
    body = {"name": "signs", "method": "icarl", "backbone": "convnet", "image_size": 8}
    api.post("/v1/classifiers", json=body).raise_for_status()
    answer = api.post("/v1/uploads", json=images("stop", "yield"))
    return str(answer.raise_for_status().json()["id"])


def queue(api: TestClient, upload: str, headers: Any = None, **fields: Any) -> Response:
    body = {"kind": "learn", "uploads": [upload], **fields}
    return api.post("/v1/classifiers/signs/jobs", json=body, headers=headers)


def test_a_job_is_accepted_and_shown(api: TestClient, upload: str) -> None:
    nulls = {"base_version": None, "max_minutes": None, "webhook": None}
    answer = queue(api, upload, options={"epochs": 5}, on_existing="error", **nulls)
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert int(answer.headers["Retry-After"]) >= 1
    assert {name: job[name] for name in job if name not in ("id", "created_at")} == {
        "classifier": "signs",
        "kind": "learn",
        "state": "queued",
        "phase": None,
        "attempt": 0,
        "not_before": None,
        "last_failure": None,
        "progress": None,
        "queue_position": 1,
        "error": None,
        "version": None,
        "started_at": None,
        "heartbeat_at": None,
        "finished_at": None,
    }
    shown = api.get(answer.headers["Location"])
    asked = {"uploads": [upload], "options": {"epochs": 5}, "on_existing": "error"}
    assert shown.json() == {
        **job,
        "request": {
            **asked,
            "base_version": None,
            "max_minutes": None,
            "description": "",
            "metadata": {},
        },
        "webhook": False,
        "base": None,
        "promoted": None,
    }
    assert "Retry-After" in shown.headers
    tag = shown.headers["ETag"]
    unchanged = api.get(f"/v1/jobs/{job['id']}", headers={"If-None-Match": tag})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    listed = api.get("/v1/jobs", params={"classifier": "signs", "state": "queued"}).json()
    assert listed == {"data": [job], "has_more": False, "next": None}


def test_cancel_and_retry(api: TestClient, upload: str) -> None:
    job = queue(api, upload).json()
    path = f"/v1/jobs/{job['id']}"
    assert api.post(f"{path}/retry").json()["code"] == "job-not-retryable"
    for _ in range(2):
        cancelled = api.post(f"{path}/cancel")
        assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    shown = api.get(path)
    assert "Retry-After" not in shown.headers
    retried = api.post(f"{path}/retry")
    assert (retried.status_code, retried.json()["state"]) == (202, "queued")

    def events(**query: int) -> dict[str, Any]:
        document: dict[str, Any] = api.get(f"{path}/events", params=query).json()
        return document

    assert [event["type"] for event in events()["data"]] == ["created", "cancelled", "requeued"]
    page = events(limit=1, after=1)
    assert [event["seq"] for event in page["data"]] == [2]
    assert (page["has_more"], page["next"]) == (True, 2)
    assert events(after=3) == {"data": [], "has_more": False, "next": None}


def test_one_shot(api: TestClient, upload: str) -> None:
    answer = api.post("/v1/classifiers/signs/learn", json=images("merge"))
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert len(job.pop("uploads")) == 1
    assert job.pop("wrapping_folder") is None
    assert (job.pop("accepted"), job.pop("duplicates"), job.pop("rejected_count")) == (2, 0, 0)
    assert (job.pop("rejected_reasons"), job.pop("empty_classes")) == ([], [])
    assert job.pop("warnings") == []
    assert api.get(f"/v1/jobs/{job['id']}").json().items() >= job.items()


def test_one_shot_says_which_folder_was_taken_off(api: TestClient, upload: str) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("signs/AA/1.png", png(1))
        archive.writestr("signs/BB/2.png", png(2))
    data = packed.getvalue()
    for name, label in ((b"/AA/", "/\u6b62/"), (b"/BB/", "/\u9032/")):
        data = data.replace(name, label.encode("cp932"))
    path, headers = "/v1/classifiers/signs/learn", {"content-type": "application/zip"}
    job = api.post(f"{path}?names=cp932", content=data, headers=headers).json()
    assert job["wrapping_folder"] == "signs"
    view = api.get(f"/v1/uploads/{job['uploads'][0]}").json()
    assert view["classes"] == {"\u6b62": 1, "\u9032": 1}
    assert view["wrapping_folder"] == "signs"
    assert api.post(f"{path}?names=klingon", content=data, headers=headers).status_code == 422


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/classifiers/none/learn", 404, "classifier-not-found"),
        ("/v1/classifiers/signs/learn?base_version=4", 422, "unknown-base-version"),
        ("/v1/classifiers/signs/learn?on_existing=what", 422, "invalid-request"),
        ("/v1/classifiers/signs/learn?split=test", 422, "no-training-images"),
    ],
)
def test_a_refused_one_shot_leaves_nothing(
    api: TestClient, upload: str, path: str, status: int, code: str
) -> None:
    answer = api.post(path, json=images("merge"))
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert [each["id"] for each in api.get("/v1/uploads").json()["data"]] == [upload]
    assert api.get("/v1/jobs").json()["data"] == []


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"kind": "dream"}, "/kind"),
        ({"kind": None}, "/kind"),
        ({"classes": ["stop"]}, "/classes"),
        ({"uploads": []}, "/uploads"),
        ({"uploads": ["upl_none"]}, "/uploads/0"),
        ({"options": {"speed": 1}}, "/options/speed"),
        ({"base_version": 0}, "/base_version"),
        ({"max_minutes": 0}, "/max_minutes"),
        ({"on_existing": "replace"}, "/on_existing"),
    ],
)
def test_a_wrong_field_is_pointed_at(
    api: TestClient, upload: str, fields: dict[str, Any], pointer: str
) -> None:
    answer = queue(api, upload, **fields)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"classes": []}, "/classes"),
        ({"classes": ["stop", " "]}, "/classes/1"),
        ({"classes": ["\ud800"]}, "/classes/0"),
        ({"max_minutes": float("inf")}, "/max_minutes"),
        ({"options": {}}, "/options"),
        ({"purge": "perhaps"}, "/purge"),
    ],
)
def test_a_wrong_field_of_forgetting_is_pointed_at(
    api: TestClient, fields: dict[str, Any], pointer: str
) -> None:
    answer = api.post(
        "/v1/classifiers/signs/jobs",
        content=json.dumps({"kind": "forget", "classes": ["stop"], **fields}),
        headers={"content-type": "application/json"},
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


def test_values_that_are_no_json_are_refused(api: TestClient, upload: str) -> None:
    for fields, pointer in [
        ({"options": {"lr": float("nan")}}, "/options/lr"),
        ({"max_minutes": float("inf")}, "/max_minutes"),
        ({"uploads": ["\ud800"]}, "/uploads/0"),
    ]:
        answer = api.post(
            "/v1/classifiers/signs/jobs",
            content=json.dumps({"uploads": [upload], **fields}),
            headers={"content-type": "application/json"},
        )
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


def test_a_memory_that_cannot_hold_every_class_is_refused(
    api: TestClient, publish: Callable[..., Published]
) -> None:
    publish(1)  # knows three classes, and may keep six images
    new = [str(number) for number in range(4)]
    path = "/v1/classifiers/signs/learn"
    answer = api.post(path, json=images(*new))
    assert (answer.status_code, answer.json()["code"]) == (422, "memory-too-small")
    assert api.get("/v1/uploads").json()["data"] == []
    # A class that is known already needs no further room.
    body = images(*new[:3], LABELS[0])
    assert api.post(path, json=body, params={"on_existing": "extend"}).status_code == 202


@pytest.mark.parametrize("method", ["piggyback", "packnet"])
def test_a_learnt_task_is_frozen(
    api: TestClient, publish: Callable[..., Published], method: str
) -> None:
    body = {**learnt.BODY, "name": "signs", "method": method}
    api.post("/v1/classifiers", json=body).raise_for_status()
    publish(0)
    path = "/v1/classifiers/signs/learn"
    extend = {"on_existing": "extend"}
    answer = api.post(path, json=images(LABELS[0], "new"), params=extend)
    assert (answer.status_code, answer.json()["code"]) == (422, "task-is-frozen")
    assert answer.json()["errors"][0]["pointer"] == "/on_existing"
    assert api.post(path, json=images("new"), params=extend).status_code == 202
    # To measure on, they are welcome.
    test = api.post("/v1/uploads", json=images(LABELS[0]), params={"split": "test"}).json()["id"]
    train = api.post("/v1/uploads", json=images("newer")).json()["id"]
    request = {"uploads": [train, test], **extend}
    assert api.post("/v1/classifiers/signs/jobs", json=request).status_code == 202


def test_a_job_is_waited_for(api: TestClient, upload: str) -> None:
    path = f"/v1/jobs/{queue(api, upload).json()['id']}"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(api.get, path, params={"wait": 60})
        with pytest.raises(TimeoutError):
            waiting.result(0.5)
        api.post(f"{path}/cancel").raise_for_status()
        assert waiting.result(30).json()["state"] == "cancelled"
    assert api.get(path, params={"wait": 60}).json()["state"] == "cancelled"


def test_a_job_is_waited_for_until_it_has_ended(api: TestClient, upload: str) -> None:
    path = f"/v1/jobs/{queue(api, upload).json()['id']}"
    waits = {"wait": 60, "until": "finished"}
    changed = {"If-None-Match": '"older"'}  # a change that was not seen does not matter
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(api.get, path, params=waits, headers=changed)
        with pytest.raises(TimeoutError):
            waiting.result(0.5)
        api.post(f"{path}/cancel").raise_for_status()
        assert waiting.result(30).json()["state"] == "cancelled"
    other = queue(api, upload).json()["id"]
    early = api.get(f"/v1/jobs/{other}", params={"wait": 0.2, "until": "finished"})
    assert early.json()["state"] == "queued"


def test_only_a_version_that_went_live_is_waited_for(
    api: TestClient, upload: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loads of others may take long, and each wait takes a thread."""
    job = queue(api, upload).json()["id"]
    with api.app.state.database.transaction() as session:  # type: ignore[attr-defined]
        row = session.get_one(Job, job)
        row.state, row.finished_at = "succeeded", datetime.now(UTC)
    calls: list[str] = []
    registry = api.app.state.registry  # type: ignore[attr-defined]
    monkeypatch.setattr(registry, "refresh", calls.append)
    assert api.get(f"/v1/jobs/{job}").json()["promoted"] is None
    assert not calls
    with api.app.state.database.transaction() as session:  # type: ignore[attr-defined]
        owner = session.get_one(Job, job).classifier_id
        common = {"method": "icarl", "spec": {}, "metrics": {}, "memory": {}}
        version = Version(id="ver", classifier_id=owner, number=1, job_id=job, **common)
        version.created_at = datetime.now(UTC)
        insert(session, version)
        session.add(
            Alias(classifier_id=owner, name="live", version_id="ver", updated_at=version.created_at)
        )
    assert api.get(f"/v1/jobs/{job}").json()["promoted"] is True
    assert calls


def test_waiting_starts_from_the_state_last_seen(api: TestClient, upload: str) -> None:
    path = f"/v1/jobs/{queue(api, upload).json()['id']}"
    seen = {"If-None-Match": api.get(path).headers["ETag"]}
    unchanged = api.get(path, params={"wait": 0.3}, headers=seen)
    assert unchanged.status_code == 304
    other = api.get(path, params={"wait": 60}, headers={"If-None-Match": '"older"'})
    assert other.json()["state"] == "queued"


def test_what_is_not_there(api: TestClient, upload: str) -> None:
    for method, path in [
        ("GET", "/v1/jobs/job_none"),
        ("GET", "/v1/jobs/job_none/events"),
        ("POST", "/v1/jobs/job_none/cancel"),
        ("POST", "/v1/jobs/job_none/retry"),
    ]:
        answer = api.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (404, "job-not-found")
    body = {"uploads": [upload]}
    answer = api.post("/v1/classifiers/none/jobs", json=body)
    assert (answer.status_code, answer.json()["code"]) == (404, "classifier-not-found")


def test_one_key_makes_one_job(api: TestClient, upload: str) -> None:
    first, again = (queue(api, upload, headers={"Idempotency-Key": "k"}) for _ in range(2))
    assert first.json() == again.json()
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert len(api.get("/v1/jobs").json()["data"]) == 1
    other = queue(api, upload, headers={"Idempotency-Key": "k"}, options={"epochs": 3})
    assert other.json()["code"] == "idempotency-key-reused"


def mixed() -> bytes:
    """Three images, 250 files that are none, and a class of the latter only."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for seed in range(3):
            archive.writestr(f"halt/{seed}.png", png(seed))
        for number in range(200):
            archive.writestr(f"halt/{number}.txt", b"text")
        for number in range(50):
            archive.writestr(f"slow/{number}.png", b"")
    return packed.getvalue()


ZIP = {"Content-Type": "application/zip"}


def test_learning_says_what_it_did_not_take(api: TestClient, upload: str) -> None:
    answer = api.post("/v1/classifiers/signs/learn", content=mixed(), headers=ZIP)
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert (job["accepted"], job["duplicates"], job["rejected_count"]) == (3, 0, 250)
    assert [group["count"] for group in job["rejected_reasons"]] == [200, 50]
    assert job["empty_classes"] == ["slow"]
    (uploaded,) = job["uploads"]
    shown = api.get(f"/v1/uploads/{uploaded}").json()
    for name in ("accepted", "rejected_count", "rejected_reasons", "empty_classes"):
        assert shown[name] == job[name]

    created, warning = api.get(f"/v1/jobs/{job['id']}/events").json()["data"]
    assert (created["type"], warning["type"], warning["level"]) == ("created", "warning", "warning")
    assert warning["message"].startswith(f"250 of 253 files of the upload {uploaded} were rejected")
    assert (
        "50 the file is empty (slow/0.png, slow/1.png, slow/2.png and 47 more)"
        in (warning["message"])
    )
    assert warning["message"].endswith("Not one image was accepted of 'slow'.")
    assert warning["data"]["upload"] == uploaded
    assert warning["data"]["empty_classes"] == ["slow"]

    # A job of several uploads warns of those of which something was rejected.
    queued = queue(api, upload, uploads=[upload, uploaded]).json()
    messages = [
        event["message"] for event in api.get(f"/v1/jobs/{queued['id']}/events").json()["data"]
    ]
    assert messages == ["Queued.", warning["message"]]


def test_learning_strictly_takes_all_or_nothing(api: TestClient, upload: str) -> None:
    answer = api.post("/v1/classifiers/signs/learn?strict=true", content=mixed(), headers=ZIP)
    assert (answer.status_code, answer.json()["code"]) == (422, "rejected-images")
    assert answer.json()["detail"].startswith("250 of 253 files cannot be used")
    assert [each["id"] for each in api.get("/v1/uploads").json()["data"]] == [upload]
    assert api.get("/v1/jobs").json()["data"] == []


def test_lists_of_several_states_and_kinds(api: TestClient, upload: str) -> None:
    jobs = [queue(api, upload).raise_for_status().json() for _ in range(3)]
    api.post(f"/v1/jobs/{jobs[0]['id']}/cancel").raise_for_status()

    def listed(query: str) -> list[int]:
        found = api.get(f"/v1/jobs?{query}").raise_for_status().json()["data"]
        ids = [job["id"] for job in jobs]
        return [ids.index(each["id"]) for each in found]

    assert listed("state=cancelled") == [0]
    assert listed("state=cancelled,queued") == listed("state=cancelled&state=queued") == [2, 1, 0]
    assert listed("state=running,queued&kind=learn,forget&limit=1") == [2]
    assert listed("kind=advise") == []
    assert listed(f"since={jobs[1]['created_at']}") == [2, 1]
    assert listed("since=2026-01-01T00:00:00Z&classifier=signs") == [2, 1, 0]
    for wrong in (
        "state=lost",
        "kind=learn,dream",
        "since=2026-11-29T10:00:00",
        "since=0.5",
    ):
        assert api.get(f"/v1/jobs?{wrong}").status_code == 422, wrong
    for far in ("0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00"):
        assert api.get(f"/v1/jobs?since={far}").status_code == 422, far
