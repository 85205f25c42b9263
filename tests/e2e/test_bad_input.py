"""Bad input: always a problem document, nothing half-written."""

import io
import sqlite3
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.e2e.harness import SMALL, Digits, Service, zip_of

TABLES = (
    "classifiers",
    "uploads",
    "upload_images",
    "images",
    "blobs",
    "jobs",
    "job_uploads",
    "job_events",
    "versions",
    "version_classes",
    "rankings",
    "held_out",
    "aliases",
    "idempotency_keys",
)


def rows(service: Service) -> dict[str, int]:
    """How many rows every table has."""
    with sqlite3.connect(f"file:{service.data_dir / 'accrue.db'}?mode=ro", uri=True) as connection:
        return {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in TABLES
        }


@pytest.fixture(scope="module")
def taught(service: Service, digits: Digits) -> str:
    """An upload of labels that the classifier `bad` has learnt already."""
    service.create("bad", options={"epochs": 1})
    service.create("untaught")
    service.learn("bad", digits.zip([0, 1], train=6, test=2))
    return service.upload(digits.zip([1, 2], train=6, test=2))


def post_zip(members: dict[str, bytes], path: str = "/v1/uploads") -> dict[str, Any]:
    headers = {"Content-Type": "application/zip"}
    return {"url": path, "content": zip_of(members), "headers": headers}


def create(**settings: Any) -> dict[str, Any]:
    return {"url": "/v1/classifiers", "json": {**SMALL, "name": "wrong", **settings}}


def predict(name: str, image: bytes, query: str = "") -> dict[str, Any]:
    path = f"/v1/classifiers/{name}/predict{query}"
    return {"url": path, "content": image, "headers": {"Content-Type": "image/png"}}


def job(name: str, **body: Any) -> dict[str, Any]:
    return {"url": f"/v1/classifiers/{name}/jobs", "json": {"kind": "learn", **body}}


# Stands for the id of `taught`, which is not known before the service runs.
TAUGHT = "upl_taught"
NOT_AN_IMAGE = b"<svg xmlns='http://www.w3.org/2000/svg'/>"
_buffer = io.BytesIO()
Image.new("RGB", (8, 8), "teal").save(_buffer, "PNG")
PNG = _buffer.getvalue()

# The request, and the status and code of its answer.
CASES: dict[str, tuple[dict[str, Any], int, str]] = {
    "not an image": (post_zip({"a/x.jpg": NOT_AN_IMAGE}), 422, "no-usable-images"),
    "one of two is no image, strictly": (
        post_zip({"a/x.jpg": NOT_AN_IMAGE, "a/y.png": PNG}, "/v1/uploads?strict=true"),
        422,
        "rejected-images",
    ),
    "an empty zip": (post_zip({}), 422, "no-usable-images"),
    "no zip at all": (
        {**post_zip({}), "content": b"PK nothing"},
        422,
        "unreadable-archive",
    ),
    "a zip that climbs out": (post_zip({"../../a/x.png": PNG}), 422, "unsafe-archive"),
    "a one-shot without images": (
        post_zip({}, "/v1/classifiers/bad/learn"),
        422,
        "no-usable-images",
    ),
    "a one-shot of a known label": (
        post_zip({"1/x.png": PNG}, "/v1/classifiers/bad/learn"),
        409,
        "class-already-learnt",
    ),
    "an unknown option of a classifier": (
        create(options={"epoch": 3}),
        422,
        "invalid-options",
    ),
    "an unknown field of a classifier": (create(bakcbone="convnet"), 422, "invalid-request"),
    "an unknown option of a job": (
        job("untaught", uploads=[TAUGHT], options={"epoch": 3}),
        422,
        "invalid-options",
    ),
    "a job for an unknown classifier": (
        job("nobody", uploads=[TAUGHT]),
        404,
        "classifier-not-found",
    ),
    "a job with an unknown upload": (job("bad", uploads=["upl_none"]), 422, "unknown-upload"),
    "a label already learnt": (job("bad", uploads=[TAUGHT]), 409, "class-already-learnt"),
    "no version yet": (predict("untaught", PNG), 409, "no-version-yet"),
    "a prediction by an unknown classifier": (predict("nobody", PNG), 404, "classifier-not-found"),
    "a prediction by an unknown version": (
        predict("bad", PNG, "?version=99"),
        404,
        "version-not-found",
    ),
    "a prediction of what is no image": (predict("bad", NOT_AN_IMAGE), 422, "unreadable-image"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_problem_document_and_nothing_written(service: Service, taught: str, case: str) -> None:
    request, status, code = CASES[case]
    if TAUGHT in request.get("json", {}).get("uploads", ()):
        request = {**request, "json": {**request["json"], "uploads": [taught]}}
    before = rows(service)
    check_problem(service.http.post(**request), status, code)
    assert rows(service) == before


def check_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.headers["Content-Type"] == "application/problem+json", answer.text
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), problem
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert problem["instance"] == answer.headers["X-Request-ID"]


def test_a_wrong_option_is_pointed_at(service: Service) -> None:
    answer = service.http.post(
        "/v1/classifiers", json={**SMALL, "name": "wrong", "options": {"epochs": 0}}
    )
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/options/epochs"]


def test_an_unreadable_image_has_its_place_in_a_batch(
    service: Service, digits: Digits, taught: str
) -> None:
    images = [("files", digits.held_out(0)), ("files", NOT_AN_IMAGE), ("files", digits.held_out(1))]
    answer = service.http.post("/v1/classifiers/bad/predict", files=images)
    assert answer.status_code == 200, answer.text
    first, second, third = answer.json()["results"]
    assert second["error"]["code"] == "unreadable-image"
    assert "label" in first
    assert "label" in third
