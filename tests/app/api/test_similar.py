"""``…/versions/{version}/similar``: compared with cosines that are computed here by themselves."""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient

from app.storage import BlobStore
from tests.app.learnt import LABELS, Published, png
from tests.databases import ONE_KIND_AT_FIRST

PNG = {"content-type": "image/png"}
PATH = "/v1/classifiers/signs/versions/live/similar"
EXEMPLARS = [png(seed) for seed in (11, 12, 13, 14)]

pytestmark = ONE_KIND_AT_FIRST


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def ask(api: TestClient, image: bytes, **query: Any) -> Any:
    return api.post(PATH, content=image, headers=PNG, params={"label": LABELS[0], **query})


def test_the_most_similar_images_come_first(
    api: TestClient, publish: Callable[..., Published]
) -> None:
    publish(1, exemplars=EXEMPLARS)
    found = ask(api, png(1), limit=4).raise_for_status().json()
    assert (found["label"], found["version"], found["looked_at"]) == (LABELS[0], 1, 4)
    assert {each["used"] for each in found["data"]} == {"exemplar"}

    version = next(iter(api.app.state.registry.cache._entries.values())).version
    network = version._default.module.servable.network.eval()

    def feature(image: bytes) -> torch.Tensor:
        pixels = torch.from_numpy(version._default.to_pixels(image)).permute(2, 0, 1)[None]
        with torch.inference_mode():
            inputs = version._default.module.servable.preprocess(pixels)
            return network.backbone(inputs).pooled[0]

    wanted = feature(png(1))
    cosines = {
        sha256(each): torch.cosine_similarity(feature(each), wanted, dim=0).item()
        for each in EXEMPLARS
    }
    expected = sorted(cosines, key=lambda each: -cosines[each])
    assert [each["sha256"] for each in found["data"]] == expected
    np.testing.assert_allclose(
        [each["similarity"] for each in found["data"]],
        [cosines[each] for each in expected],
        atol=1e-5,
    )
    same = ask(api, EXEMPLARS[2], limit=1).json()["data"][0]
    assert same["sha256"] == sha256(EXEMPLARS[2])
    assert same["similarity"] == pytest.approx(1, abs=1e-5)


def test_images_that_are_gone_are_left_out(
    api: TestClient, publish: Callable[..., Published], store: BlobStore
) -> None:
    publish(1, exemplars=EXEMPLARS)
    store.delete(sha256(EXEMPLARS[0]))
    found = ask(api, png(1)).raise_for_status().json()
    assert found["looked_at"] == len(found["data"]) == 3


def test_wrong_requests_are_told_so(api: TestClient, publish: Callable[..., Published]) -> None:
    publish(1, exemplars=EXEMPLARS)
    assert ask(api, png(1), label="nobody").json()["code"] == "class-not-found"
    assert ask(api, b"GIF89a").json()["code"] == "unreadable-image"
    assert ask(api, png(1), limit=0).json()["code"] == "invalid-request"
