"""A classifier made by name alone: what is chosen for it is shown, and never changes."""

import base64
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.db.engine import Database
from app.db.repositories import classifiers as classifier_rows
from tests.databases import ONE_KIND_AT_FIRST
from tests.pictures import png

URL = "/v1/classifiers/signs"


@pytest.fixture(autouse=True)
def by_name_alone(api: TestClient) -> None:
    api.post("/v1/classifiers", json={"name": "signs"}).raise_for_status()


def images(*sides: tuple[int, int], label: str = "stop") -> dict[str, Any]:
    """A body of images with these widths and heights."""
    encoded = [base64.b64encode(png(seed, *size)).decode() for seed, size in enumerate(sides)]
    return {"images": [{"label": label, "b64": b64} for b64 in encoded]}


def learn(api: TestClient, *sides: tuple[int, int], label: str = "stop") -> dict[str, Any]:
    answer = api.post(f"{URL}/learn", json=images(*sides, label=label))
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def shown(api: TestClient) -> tuple[int | None, int | None]:
    """The image size, and the crop that goes with it."""
    found = api.get(URL).json()
    return found["image_size"], found["augment"]["crop"]


@ONE_KIND_AT_FIRST
def test_the_size_is_open_until_there_are_images(api: TestClient) -> None:
    assert shown(api) == (None, None)
    changed = api.patch(URL, json={"options": {"alpha": 0.5}, "keep_images": True}).json()
    assert (changed["image_size"], changed["options"]["alpha"]) == (None, 0.5)
    learn(api, (100, 80))
    assert shown(api) == (160, 20)
    assert api.get(URL).json()["options"]["alpha"] == 0.5


# Half of them being small, the (lower) median is.
@pytest.mark.parametrize(
    ("sides", "size"),
    [
        ([(64, 64)], 96),
        ([(65, 10)], 160),
        ([(10, 65)], 160),
        ([(20, 20), (64, 30), (500, 500)], 96),
        ([(20, 20), (65, 30), (500, 500)], 160),
        ([(20, 20), (500, 500)], 96),
    ],
)
@ONE_KIND_AT_FIRST
def test_the_median_image_decides(api: TestClient, sides: list[tuple[int, int]], size: int) -> None:
    learn(api, *sides)
    assert shown(api) == (size, size // 8)


@ONE_KIND_AT_FIRST
def test_later_images_change_nothing(api: TestClient) -> None:
    learn(api, (20, 20))
    first = api.get(URL).json()
    learn(api, (300, 300), (200, 200), label="yield")
    assert api.get(URL).json() == first
    assert api.patch(URL, json={"keep_images": True}).json()["image_size"] == 96


@ONE_KIND_AT_FIRST
def test_all_uploads_of_the_first_job_count(api: TestClient) -> None:
    uploads = [
        api.post("/v1/uploads", json=body).json()["id"]
        for body in (images((20, 20)), images((300, 300), (200, 200), label="yield"))
    ]
    api.post(f"{URL}/jobs", json={"uploads": uploads}).raise_for_status()
    assert shown(api) == (160, 20)


@ONE_KIND_AT_FIRST
def test_a_refused_job_decides_nothing(api: TestClient) -> None:
    upload = api.post("/v1/uploads", json=images((20, 20))).json()["id"]
    for body in ({"uploads": [upload], "options": {"epochs": 1}}, {"uploads": [upload, "upl_no"]}):
        assert api.post(f"{URL}/jobs", json=body).status_code == 422
    answer = api.post(f"{URL}/learn?split=test", json=images((20, 20)))
    assert answer.json()["code"] == "no-training-images"
    assert shown(api) == (None, None)


@ONE_KIND_AT_FIRST
def test_the_job_says_what_learns(api: TestClient, database: Database) -> None:
    def revision() -> int:
        with database.reading() as session:
            row = classifier_rows.find(session, "default", "signs")
            assert row is not None
            return row.revision

    before = revision()
    job = learn(api, (20, 20))
    created = api.get(f"/v1/jobs/{job['id']}/events").json()["data"][0]
    assert created["data"] == {
        "method": "analytic",
        "backbone": "efficientnet_lite0",
        "weights": "DEFAULT",
        "image_size": 96,
    }
    # So that the manifest says the same.
    assert revision() == before + 1


def test_of_first_jobs_at_once_one_decides(api: TestClient) -> None:
    def send(number: int) -> int:
        job = learn(api, *[(20, 20) if number % 2 else (300, 300)] * 1, label=f"c{number}")
        event = api.get(f"/v1/jobs/{job['id']}/events").json()["data"][0]
        return int(event["data"]["image_size"])

    with ThreadPoolExecutor(6) as pool:
        sizes = set(pool.map(send, range(6)))
    assert sizes == {shown(api)[0]}


@ONE_KIND_AT_FIRST
def test_analytic_without_published_weights_is_refused(api: TestClient) -> None:
    body = {"name": "other", "method": "analytic", "backbone": "convnet"}
    problem = api.post("/v1/classifiers", json=body).json()
    assert [error["pointer"] for error in problem["errors"]] == ["/weights"]


@ONE_KIND_AT_FIRST
def test_a_backbone_that_takes_no_chosen_size_is_refused(api: TestClient) -> None:
    body = {"name": "other", "backbone": "vit_b_16", "weights": "DEFAULT"}
    problem = api.post("/v1/classifiers", json=body).json()
    assert [error["pointer"] for error in problem["errors"]] == ["/image_size"]
    api.post("/v1/classifiers", json={**body, "image_size": 224}).raise_for_status()
