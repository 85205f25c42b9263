"""Levels: maps of several depths, for every backbone."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from models.networks import build, outline
from tests.models.backbones import ONE_OF_EACH_FAMILY_AT_FIRST

_WITHOUT = ("swin", "vit")


@ONE_OF_EACH_FAMILY_AT_FIRST
def test_every_backbone_has_levels(name: str) -> None:
    backbone = outline(name).to("meta").eval().backbone
    with torch.device("meta"):
        images = torch.empty(2, 3, 224, 224)
        levels, features = backbone.levels(images), backbone(images)
    deepest = features.pooled[:, :, None, None] if features.map is None else features.map
    assert levels[-1].shape == deepest.shape
    if name.startswith(_WITHOUT):
        assert len(levels) == 1
    else:
        assert 3 <= len(levels) <= 6
    sides = [level.shape[2] for level in levels]
    # From fine to coarse, each of another depth.
    assert sides == sorted(sides, reverse=True)
    assert all(level.ndim == 4 and level.shape[2] == level.shape[3] for level in levels)


@pytest.mark.parametrize("name", ["convnet", "resnet20", "squeezenet1_1", "resnet18"])
def test_levels_are_those_of_the_forward(name: str) -> None:
    backbone = build(name, 3).eval().backbone
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        levels, features = backbone.levels(images), backbone(images)
    assert torch.equal(levels[-1], features.map)
    if name == "resnet18":
        hidden = backbone.body.maxpool(
            backbone.body.relu(backbone.body.bn1(backbone.body.conv1(images)))
        )
        for stage, level in enumerate(levels, start=1):
            hidden = getattr(backbone.body, f"layer{stage}")(hidden)
            assert torch.equal(level, hidden)


def test_threads_have_their_own_levels() -> None:
    backbone = build("squeezenet1_1", 3).eval().backbone
    batches = [torch.randn(1, 3, 64, 64) for _ in range(16)]

    def last_but_one(images: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return backbone.levels(images)[-2]

    alone = [last_but_one(images) for images in batches]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(last_but_one, batches))
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one, other)
