"""Uploads against answers that are given, without a service."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from accrue_client import parts
from accrue_client.errors import (
    InvalidError,
    InvalidSourceError,
    NotAccrueError,
    UploadInterruptedError,
    UploadLeftError,
)
from accrue_client.http_api import Api
from accrue_client.images import data_of
from accrue_client.operations import learn
from accrue_client.retrying import Retrying
from accrue_client.sources import LabelledImage, LabelledImages
from accrue_client.steps import Steps
from accrue_client.uploading import send, upload

from tests.clients import running

BAD_GATEWAY = httpx.Response(502, text="<h1>Bad gateway</h1>")
FULL = httpx.Response(
    507, json={"title": "Storage full", "detail": "The disk is full.", "code": "storage-full"}
)
UPLOAD = httpx.Response(201, json={"id": "upl_1", "classes": {"a": 1}, "accepted": 1})


def run(steps: Steps[Any], answers: list[httpx.Response]) -> Any:
    """Run an operation whose calls are answered so."""
    return running.run(steps, lambda _call: answers.pop(0))


QUOTA = httpx.Response(
    413, json={"title": "Too large", "detail": "Send less.", "code": "too-many-images"}
)
DELETED = httpx.Response(204)


@pytest.mark.parametrize("refusal", [BAD_GATEWAY, FULL, QUOTA])
def test_what_cuts_an_upload_off_says_how_to_continue(
    refusal: httpx.Response, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART_IMAGES", 1)
    images = [LabelledImage(f"a/{number}", "a", lambda: b"") for number in range(3)]
    steps = send(Api(Retrying(patience=0)), LabelledImages(images), lambda _: None)
    with pytest.raises(UploadInterruptedError, match="1 of 3 images") as caught:
        run(steps, [UPLOAD, refusal])
    assert caught.value.upload_id == "upl_1"


def not_an_image() -> bytes:
    return data_of(object())


def test_an_image_that_is_none_cuts_an_upload_off_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_IMAGES", 1)
    images = [LabelledImage("a/0", "a", lambda: b""), LabelledImage("a/1", "a", not_an_image)]
    steps = send(Api(Retrying(patience=0)), LabelledImages(images), lambda _: None)
    with pytest.raises(UploadInterruptedError, match="object is not an image") as caught:
        run(steps, [UPLOAD])
    assert caught.value.upload_id == "upl_1"


def test_strict_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_IMAGES", 1)
    images = [LabelledImage(f"a/{number}", "a", lambda: b"") for number in range(2)]
    api, answers = Api(Retrying(patience=0)), [UPLOAD, QUOTA, DELETED]
    steps = send(api, LabelledImages(images), lambda _: None, query={"strict": True})
    with pytest.raises(InvalidError, match="Send less"):
        run(steps, answers)
    assert not answers


DENIED = httpx.Response(
    401, json={"title": "Unauthorized", "detail": "No such key.", "code": "unauthorized"}
)


def test_what_strict_cannot_take_back_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_IMAGES", 1)
    images = [LabelledImage(f"a/{number}", "a", lambda: b"") for number in range(2)]
    api = Api(Retrying(patience=0))
    steps = send(api, LabelledImages(images), lambda _: None, query={"strict": True})
    with pytest.raises(UploadLeftError, match="Send less") as caught:
        run(steps, [UPLOAD, QUOTA, DENIED])
    assert caught.value.upload_id == "upl_1"
    assert isinstance(caught.value.__cause__, InvalidError)
    for part in ("No such key", "DELETE /v1/uploads/upl_1"):
        assert part in str(caught.value)


@pytest.mark.parametrize("taken_back", [True, False])
def test_archives_of_which_one_is_refused_are_taken_back_or_named(
    tmp_path: Path, *, taken_back: bool
) -> None:
    for number in range(2):
        (tmp_path / f"{number}.parquet").touch()
    answers = [UPLOAD, QUOTA, DELETED if taken_back else DENIED]
    steps = upload(Api(Retrying(patience=0)), tmp_path, lambda _: None)
    with pytest.raises(InvalidError if taken_back else UploadLeftError, match="Send less"):
        run(steps, answers)
    assert not answers


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ([UPLOAD, QUOTA, DELETED], InvalidError),
        ([UPLOAD, QUOTA, DENIED], UploadLeftError),
        ([UPLOAD, BAD_GATEWAY], UploadLeftError),
    ],
)
def test_an_upload_without_a_job_is_taken_back_or_named(
    answers: list[httpx.Response], error: type[Exception]
) -> None:
    left = list(answers)
    api = Api(Retrying(patience=0))
    steps = learn(api, "toy", [b"x"], lambda _: None, {}, label="a")
    with pytest.raises(error):
        run(steps, left)
    assert not left


def test_an_archive_is_not_resumed() -> None:
    steps = upload(Api(Retrying()), "images.zip", lambda _: None, resume="upl_1")
    with pytest.raises(InvalidSourceError, match="without resume"):
        run(steps, [])


def test_json_of_another_service_is_said_to_be_so() -> None:
    for answer in ({"data": 1}, [], "text"):
        steps = Api(Retrying()).pages("/v1/classifiers")
        with pytest.raises(NotAccrueError, match="Is the URL that of the service"):
            run(steps, [httpx.Response(200, json=answer)])
