"""The small residual networks for 32×32 images of He et al. (2016), as iCaRL uses them."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.network import Backbone, Features


def _conv(inputs: int, outputs: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False)


class _Block(nn.Module):
    """Two 3×3 convolutions and a parameter-free shortcut (option A)."""

    def __init__(self, inputs: int, outputs: int, *, last: bool) -> None:
        super().__init__()
        self.stride = outputs // inputs
        self.conv1 = _conv(inputs, outputs, self.stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = _conv(outputs, outputs, 1)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.last = last

    def _shortcut(self, inputs: Tensor) -> Tensor:
        if self.stride == 1:
            return inputs
        smaller = inputs[:, :, :: self.stride, :: self.stride]
        added = inputs.shape[1] * (self.stride - 1)
        return functional.pad(smaller, (0, 0, 0, 0, added // 2, added - added // 2))

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = functional.relu(self.bn1(self.conv1(inputs)))
        hidden = self.bn2(self.conv2(hidden)) + self._shortcut(inputs)
        return hidden if self.last else functional.relu(hidden)


class CifarResNet(Backbone):
    """ResNet-(6n+2): three stages of n blocks with 16, 32 and 64 channels; D = 64.

    The last block has no final ReLU, so features are signed (Rebuffi et al. 2017, released code).
    """

    feature_dim = 64

    def __init__(self, blocks_per_stage: int) -> None:
        super().__init__()
        self.per_stage = blocks_per_stage
        self.conv = _conv(3, 16, 1)
        self.bn = nn.BatchNorm2d(16)
        channels = [16] * blocks_per_stage + [32] * blocks_per_stage + [64] * blocks_per_stage
        self.blocks = nn.Sequential(
            *(
                _Block(inputs, outputs, last=index == len(channels) - 1)
                for index, (inputs, outputs) in enumerate(
                    zip([16, *channels[:-1]], channels, strict=True)
                )
            )
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def levels(self, images: Tensor) -> list[Tensor]:
        """Return the maps of the three stages."""
        hidden = functional.relu(self.bn(self.conv(images)))
        maps = []
        for stage in range(3):
            hidden = self.blocks[stage * self.per_stage : (stage + 1) * self.per_stage](hidden)
            maps.append(hidden)
        return maps

    def forward(self, images: Tensor) -> Features:
        """Return a map [B, 64, S/4, S/4] and its mean [B, 64]."""
        feature_map: Tensor = self.blocks(functional.relu(self.bn(self.conv(images))))
        return Features(feature_map, torch.mean(feature_map, dim=(2, 3)))
