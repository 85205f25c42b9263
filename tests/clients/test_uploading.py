"""Uploads against answers that are given, without a service."""

from typing import Any

import httpx
import pytest
from accrue_client import parts
from accrue_client.errors import (
    InvalidError,
    InvalidSourceError,
    NotAccrueError,
    UploadInterruptedError,
)
from accrue_client.http_api import Api
from accrue_client.images import data_of
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


def test_an_archive_is_not_resumed() -> None:
    steps = upload(Api(Retrying()), "images.zip", lambda _: None, resume="upl_1")
    with pytest.raises(InvalidSourceError, match="without resume"):
        run(steps, [])


def test_json_of_another_service_is_said_to_be_so() -> None:
    for answer in ({"data": 1}, [], "text"):
        steps = Api(Retrying()).pages("/v1/classifiers")
        with pytest.raises(NotAccrueError, match="Is the URL that of the service"):
            run(steps, [httpx.Response(200, json=answer)])
