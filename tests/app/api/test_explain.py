"""Heat maps of answers, over HTTP."""

import base64
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from models.networks.convnet import ConvNet
from tests.app.learnt import Published, png
from tests.databases import ONE_KIND_AT_FIRST

PNG = {"content-type": "image/png"}
Publish = Callable[..., Published]

pytestmark = ONE_KIND_AT_FIRST


def predict(api: TestClient, image: bytes = png(), **query: Any) -> Any:
    answer = api.post("/predict", content=image, headers=PNG, params=query)
    assert answer.status_code == 200, answer.text
    (result,) = answer.json()["results"]
    return result


def opened(result: Any) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(result["heat_map"])))


@pytest.mark.parametrize("query", [{}, {"classify": "softmax"}, {"task": 0}])
def test_an_explained_prediction_is_the_same_with_a_picture(
    api: TestClient, publish: Publish, query: dict[str, Any]
) -> None:
    publish(1)
    plain = predict(api, **query)
    assert "heat_map" not in plain
    explained = predict(api, **query, explain=True)
    picture = opened(explained)
    assert (picture.format, picture.size) == ("PNG", (224, 224))
    assert np.asarray(picture).std() > 1
    del explained["heat_map"]
    assert explained == plain


@pytest.mark.parametrize("task", [None, 0])
def test_routers_and_experts_are_explained(
    api: TestClient, publish: Publish, task: int | None
) -> None:
    publish(0, method="packnet")
    query = {} if task is None else {"task": task}
    assert opened(predict(api, **query, explain=True)).size == (224, 224)


def test_each_readable_image_of_a_batch_has_its_own_picture(
    api: TestClient, publish: Publish
) -> None:
    publish(1)
    images = [png(1), b"GIF89a", png(2)]
    form = [("files", ("x", image, "image/png")) for image in images]
    first, broken, last = api.post("/predict?explain=true", files=form).json()["results"]
    assert broken["error"]["code"] == "unreadable-image"
    assert first["heat_map"] == predict(api, png(1), explain=True)["heat_map"]
    assert last["heat_map"] == predict(api, png(2), explain=True)["heat_map"]
    assert first["heat_map"] != last["heat_map"]


def test_so_many_pictures_at_once_are_refused(api: TestClient, publish: Publish) -> None:
    publish(1)
    form = [("files", ("x", png(1), "image/png"))] * 33
    answer = api.post("/predict?explain=true", files=form)
    assert (answer.status_code, answer.json()["code"]) == (413, "too-many-images")
    assert api.post("/predict", files=form).status_code == 200


def test_a_backbone_without_a_map_says_so(
    api: TestClient, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(1)
    monkeypatch.setattr(ConvNet, "has_map", False)
    answer = api.post("/predict?explain=true", content=png(), headers=PNG)
    assert (answer.status_code, answer.json()["code"]) == (422, "no-heat-map")
    assert "convnet has no feature map" in answer.json()["detail"]
