"""Versions for other programs: ONNX Runtime and PyTorch run them on image files."""

import io
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from fastapi.testclient import TestClient
from httpx import Response
from PIL import Image

from tests.app.learnt import LABELS, SIZE, Published, png
from tests.databases import ONE_KIND_AT_FIRST
from tests.docs.blocks import snippets
from tests.pictures import png as picture

PNG = {"content-type": "image/png"}
EXPORT = "/v1/classifiers/signs/versions/live/export"
Publish = Callable[..., Published]

pytestmark = ONE_KIND_AT_FIRST


def run(model: bytes, images: list[bytes]) -> dict[str, Any]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    shown = [np.asarray(Image.open(io.BytesIO(image)).convert("RGB")) for image in images]
    found = session.run(None, {"images": np.stack(shown)})
    return dict(zip([output.name for output in session.get_outputs()], found, strict=True))


# What runs it has PyTorch and the standard library, and nothing else.
ALONE = """
import importlib.abc, json, sys

ABSENT = ("accrue_client", "app", "models", "safetensors", "torchvision")

class Nothing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ImportError(name)

sys.meta_path.insert(0, Nothing())
sys.path.insert(0, sys.argv[1])
import torch
from signs.load import load

images = torch.load(sys.argv[2], weights_only=True)
found = {
    name: each.tolist() if isinstance(each, torch.Tensor) else each
    for name, each in load()(images).items()
}
json.dump(found, sys.stdout)
"""


def built(api: TestClient, query: str = "") -> Response:
    """Return the answer with the export: on a busy machine a request does not wait so long."""
    while (answer := api.get(EXPORT + query)).status_code == 503:
        assert answer.json()["code"] == "export-building"
    assert answer.status_code == 200, answer.text
    return answer


def run_alone(archive: bytes, images: list[bytes], folder: Path) -> dict[str, Any]:
    """Predict with an unpacked zip in a process that has nothing of Accrue."""
    with zipfile.ZipFile(io.BytesIO(archive)) as whole:
        whole.extractall(folder / "signs")
    shown = [np.array(Image.open(io.BytesIO(image)).convert("RGB")) for image in images]
    torch.save([torch.from_numpy(each).permute(2, 0, 1) for each in shown], folder / "images.pt")
    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, folder, folder / "images.pt"],
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("method", "number"), [("icarl", 1), pytest.param("packnet", 0, marks=pytest.mark.slow)]
)
def test_pytorch_alone_answers_as_the_service_does(
    api: TestClient, publish: Publish, tmp_path: Path, method: str, number: int
) -> None:
    publish(number, method=method, held_out=30)
    answer = built(api, "?format=torch")
    assert answer.headers["content-type"] == "application/zip"
    assert 'filename="signs-1.zip"' in answer.headers["content-disposition"]
    images = [png(seed) for seed in range(6)]
    form = [("files", ("x", image, "image/png")) for image in images]
    results = api.post("/predict", files=form).json()["results"]
    found = run_alone(answer.content, images, tmp_path)
    assert found["label"] == [result["label"] for result in results]
    assert found["known"] == [result["known"] for result in results]
    assert found["p_known"] == pytest.approx([result["p_known"] for result in results])
    labels = LABELS[: len(results[0]["ranked"])]
    for result, scores in zip(results, found["scores"], strict=True):
        for entry in result["ranked"]:
            assert scores[labels.index(entry["label"])] == pytest.approx(entry["score"], abs=1e-4)


@pytest.mark.parametrize(("query", "name"), [("", "onnx"), ("?format=torch", "zip")])
def test_the_python_of_the_page_prints_what_the_service_answers(
    api: TestClient, publish: Publish, tmp_path: Path, query: str, name: str
) -> None:
    onnx_code, torch_code = snippets("docs/export.md", "python")
    publish(1, held_out=30)
    file = tmp_path / f"signs.{name}"
    file.write_bytes(built(api, query).content)
    if name == "zip":
        shutil.unpack_archive(file, tmp_path / "signs")
    (tmp_path / "photo.jpg").write_bytes(png(3))
    done = subprocess.run(
        [sys.executable, "-c", torch_code if name == "zip" else onnx_code],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    (result,) = api.post("/predict", content=png(3), headers=PNG).json()["results"]
    assert done.stdout.startswith(f"{result['label']} {{")
    for entry in result["ranked"]:
        (score,) = re.findall(rf"'{re.escape(entry['label'])}': ([\d.e-]+)", done.stdout)
        assert float(score) == pytest.approx(entry["score"], abs=1e-3)


@pytest.mark.parametrize(("method", "number"), [("icarl", 1), ("packnet", 0)])
def test_the_model_answers_as_the_service_does(
    api: TestClient, publish: Publish, method: str, number: int
) -> None:
    publish(number, method=method, held_out=30)
    answer = built(api)
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


@pytest.mark.parametrize("size", [(40, 23), (11, 30)])
def test_images_of_other_sizes_are_resized(
    api: TestClient, publish: Publish, size: tuple[int, int]
) -> None:
    image = picture(3, *size)
    exported, served = {}, {}
    for way in ("squash", "pad", "crop"):
        publish(1, resize=way)
        found = run(built(api).content, [image])
        exported[way] = found["distances"][0]
        (result,) = api.post("/predict", content=image, headers=PNG).json()["results"]
        ranked = {entry["label"]: entry for entry in result["ranked"]}
        served[way] = np.array([ranked[label]["distance"] for label in LABELS])
        for label, score in zip(LABELS, found["scores"][0], strict=True):
            assert score == pytest.approx(ranked[label]["score"], abs=0.05)
    for way, distances in exported.items():
        # Another filter gives nearly the same image; another way to a square does not.
        off = {other: np.abs(distances - served[other]).max() for other in served}
        assert min(off, key=lambda other: off[other]) == way
        assert off[way] < 0.2 * sorted(off.values())[1], off


def test_a_download_goes_on_where_it_broke_off(api: TestClient, publish: Publish) -> None:
    publish(0)
    whole = built(api)
    etag = whole.headers["etag"]
    rest = api.get(EXPORT, headers={"Range": "bytes=1000-", "If-Range": etag})
    assert (rest.status_code, rest.content) == (206, whole.content[1000:])
    assert api.get(EXPORT, headers={"If-None-Match": etag}).status_code == 304


@pytest.mark.slow
def test_without_images_held_out_nothing_is_said_of_known(
    api: TestClient, publish: Publish
) -> None:
    publish(0)
    assert set(run(built(api).content, [png()])) == {"label", "scores", "distances"}


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
