"""Where torchvision's families have their levels: the modules after which each stage is done.

The last level of every network is its feature map; these are the ones before it.
"""

from collections.abc import Callable
from itertools import pairwise

from torch import nn
from torchvision import models as zoo
from torchvision.models.squeezenet import Fire

# Of a long list of stages, the last of them: the first ones see edges and colours.
_MOST = 5


def _stages(body: nn.Module, path: str) -> list[str]:
    return [f"{path}.{name}" for name, _ in body.get_submodule(path).named_children()]


def _changes(body: nn.Module, path: str) -> list[str]:
    """Return the blocks after which the number of channels changes."""
    blocks = list(body.get_submodule(path).named_children())
    return [
        f"{path}.{name}"
        for (name, block), (_, following) in pairwise(blocks)
        if block.out_channels != following.out_channels
    ]


def _named(body: nn.Module, kind: type[nn.Module]) -> list[str]:
    return [name for name, module in body.named_modules() if isinstance(module, kind)]


def _odd_fires(body: nn.Module) -> list[str]:
    """Return SqueezeNet's fire3, fire5, fire7 and fire8; fire9 gives the feature map."""
    fires = _named(body, Fire)
    return [fires[1], fires[3], fires[5], fires[6]]


# By family, the modules in the order in which they run. Swin transformers keep maps in another
# order of dimensions, and vision transformers have none: their features are their only level.
_MODULES: dict[type[nn.Module], Callable[[nn.Module], list[str]]] = {
    zoo.AlexNet: lambda _: ["features.5", "features.7", "features.9"],
    zoo.ConvNeXt: lambda _: ["features.1", "features.3", "features.5"],
    zoo.DenseNet: lambda _: [f"features.denseblock{block}" for block in (1, 2, 3)],
    zoo.EfficientNet: lambda body: _stages(body, "features")[:-1],
    zoo.GoogLeNet: lambda _: ["inception3b", "inception4c", "inception4e"],
    zoo.Inception3: lambda _: ["Mixed_5d", "Mixed_6e", "Mixed_7a"],
    zoo.MaxVit: lambda _: ["blocks.0", "blocks.1", "blocks.2"],
    zoo.MNASNet: lambda _: [f"layers.{stack}" for stack in (8, 9, 10, 11, 12, 13)],
    zoo.MobileNetV2: lambda body: _changes(body, "features"),
    zoo.MobileNetV3: lambda body: _changes(body, "features"),
    zoo.RegNet: lambda _: [f"trunk_output.block{block}" for block in (1, 2, 3)],
    zoo.ResNet: lambda _: ["layer1", "layer2", "layer3"],
    zoo.ShuffleNetV2: lambda _: ["stage2", "stage3", "stage4"],
    zoo.SqueezeNet: _odd_fires,
    zoo.VGG: lambda body: _named(body, nn.MaxPool2d)[:-1],
}


def earlier_levels(body: nn.Module) -> list[str]:
    """Return the names of the modules of a torchvision network whose outputs are earlier levels.

    Their outputs are maps [B, K, h, w].
    """
    find = _MODULES.get(type(body))
    return [] if find is None else find(body)[-_MOST:]
