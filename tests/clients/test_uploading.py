"""Uploads against answers that are given, without a service."""

from typing import Any

import httpx
import pytest
from accrue_client import parts
from accrue_client.errors import UploadInterruptedError
from accrue_client.http_api import Api
from accrue_client.retrying import Retrying
from accrue_client.sources import LabelledImage, LabelledImages
from accrue_client.steps import Call, Steps, Work
from accrue_client.uploading import send

BAD_GATEWAY = httpx.Response(502, text="<h1>Bad gateway</h1>")
FULL = httpx.Response(
    507, json={"title": "Storage full", "detail": "The disk is full.", "code": "storage-full"}
)
UPLOAD = httpx.Response(201, json={"id": "upl_1", "classes": {"a": 1}, "accepted": 1})


def run(steps: Steps[Any], answers: list[httpx.Response]) -> Any:
    """Run an operation whose calls are answered so."""
    sent: Any = None
    while True:
        try:
            step = steps.send(sent)
        except StopIteration as ended:
            return ended.value
        sent = None
        if isinstance(step, Work):
            sent = step.function()
        elif isinstance(step, Call):
            sent = answers.pop(0)
            sent.request = httpx.Request(step.method, f"http://test{step.path}")


@pytest.mark.parametrize("refusal", [BAD_GATEWAY, FULL])
def test_what_cuts_an_upload_off_says_how_to_continue(
    refusal: httpx.Response, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART_IMAGES", 1)
    images = [LabelledImage(f"a/{number}", "a", lambda: b"") for number in range(3)]
    steps = send(Api(Retrying(patience=0)), LabelledImages(images), lambda _: None)
    with pytest.raises(UploadInterruptedError, match="1 of 3 images") as caught:
        run(steps, [UPLOAD, refusal])
    assert caught.value.upload_id == "upl_1"
