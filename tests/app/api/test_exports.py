"""Versions as ONNX models, which ONNX Runtime runs on image files."""

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tests.app.learnt import LABELS, SIZE, Published, png
from tests.databases import ONE_KIND_AT_FIRST
from tests.pictures import png as picture

PNG = {"content-type": "image/png"}
EXPORT = "/v1/classifiers/signs/versions/live/export"
Publish = Callable[..., Published]

pytestmark = ONE_KIND_AT_FIRST


def run(model: bytes, images: list[bytes]) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    pixels = [np.asarray(Image.open(io.BytesIO(image)).convert("RGB")) for image in images]
    found = session.run(None, {"images": np.stack(pixels)})
    return dict(zip([output.name for output in session.get_outputs()], found, strict=True))


@pytest.mark.parametrize(("method", "number"), [("icarl", 1), ("packnet", 0)])
def test_the_model_answers_as_the_service_does(
    api: TestClient, publish: Publish, method: str, number: int
) -> None:
    publish(number, method=method, held_out=30)
    answer = api.get(EXPORT)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/onnx"
    assert 'filename="signs-1.onnx"' in answer.headers["content-disposition"]
    images = [png(seed) for seed in range(6)]
    form = [("files", ("x", image, "image/png")) for image in images]
    results = api.post("/predict", files=form).json()["results"]
    found = run(answer.content, images)
    assert found["label"].tolist() == [result["label"] for result in results]
    assert found["known"].tolist() == [result["known"] for result in results]
    assert found["p_known"] == pytest.approx([result["p_known"] for result in results])
    labels = LABELS[: len(results[0]["ranked"])]
    for result, scores in zip(results, found["scores"], strict=True):
        for entry in result["ranked"]:
            assert scores[labels.index(entry["label"])] == pytest.approx(entry["score"], abs=1e-4)
    about = {
        each.key: json.loads(each.value)
        for each in onnx.load_from_string(answer.content).metadata_props
    }
    assert about["labels"] == list(labels)
    assert (about["classifier"], about["version"], about["image_size"]) == ("signs", 1, SIZE)


def test_images_of_other_sizes_are_resized(api: TestClient, publish: Publish) -> None:
    publish(1)
    image = picture(3, 40, 23)
    scores = run(api.get(EXPORT).content, [image])["scores"][0]
    (result,) = api.post("/predict", content=image, headers=PNG).json()["results"]
    for entry in result["ranked"]:
        assert scores[LABELS.index(entry["label"])] == pytest.approx(entry["score"], abs=0.05)


def test_a_download_goes_on_where_it_broke_off(api: TestClient, publish: Publish) -> None:
    publish(0)
    whole = api.get(EXPORT)
    etag = whole.headers["etag"]
    rest = api.get(EXPORT, headers={"Range": "bytes=1000-", "If-Range": etag})
    assert (rest.status_code, rest.content) == (206, whole.content[1000:])
    assert api.get(EXPORT, headers={"If-None-Match": etag}).status_code == 304


@pytest.mark.slow
def test_without_images_held_out_nothing_is_said_of_known(
    api: TestClient, publish: Publish
) -> None:
    publish(0)
    assert set(run(api.get(EXPORT).content, [png()])) == {"label", "scores", "distances"}


def test_what_is_missing_is_said(
    api: TestClient, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(0)
    assert api.get(f"{EXPORT}?format=tflite").status_code == 422
    monkeypatch.setattr("app.inference.exporting.exports.find_spec", lambda _name: None)
    answer = api.get(EXPORT)
    assert (answer.status_code, answer.json()["code"]) == (501, "onnx-not-installed")
    assert "accrue[onnx]" in answer.json()["detail"]


def test_a_version_that_cannot_be_read_is_not_exported(
    api: TestClient, publish: Publish, settings: Any
) -> None:
    publish(0)
    for blob in (settings.data_dir / "blobs").rglob("*"):
        if blob.is_file():
            blob.unlink()
    answer = api.get(EXPORT)
    assert (answer.status_code, answer.json()["code"]) == (503, "version-unreadable")
