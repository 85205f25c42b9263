"""The parts of a network: a backbone that gives features, and a head that grows by tasks."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.seeds import generator

# The base class of batch norms of all dimensions; torch has no public name for it.
BatchNorm = nn.modules.batchnorm._BatchNorm


class Features(NamedTuple):
    """What a backbone's forward gives.

    `map` [B, K, h, w] is the tensor that global pooling takes, None for networks without one, such
    as vision transformers; `pooled` [B, D] are the features that the head takes.
    """

    map: Tensor | None
    pooled: Tensor


class Activations(NamedTuple):
    """What a network's forward gives: its backbone's features, and the logits [B, C].

    `feature_map` is `Features.map` and `features` is `Features.pooled`.
    """

    feature_map: Tensor | None
    features: Tensor
    logits: Tensor


class Backbone(nn.Module, ABC):
    """Images to features.

    `feature_dim` is their dimension D, `has_map` whether there is a feature map and `mean_pooled`
    whether the features are its mean over positions and nothing else.
    """

    feature_dim: int
    has_map: bool = True
    mean_pooled: bool = True

    @property
    def published(self) -> nn.Module:
        """The module whose `state_dict` names the tensors of pretrained weights."""
        return self

    @abstractmethod
    def forward(self, images: Tensor) -> Features:
        """Return the features of normalised images [B, 3, S, S]."""

    def levels(self, images: Tensor) -> list[Tensor]:
        """Return the maps [B, K, h, w] of several depths, the deepest last.

        Here, the feature map alone, or the features as a map of one position.
        """
        features: Features = self(images)
        return [features.pooled[:, :, None, None] if features.map is None else features.map]

    def trunk(self, images: Tensor) -> list[Tensor]:
        """Return what `tail` makes the features of: here the feature map, or else the features.

        It is nearly all of the arithmetic, and none of it needs float32.
        """
        features: Features = self(images)
        if self.mean_pooled and features.map is not None:
            return [features.map]
        return [features.pooled]

    def tail(self) -> nn.Module:
        """Return the module that makes features [B, D] of the list that `trunk` returned.

        It refers to none of the trunk's weights.
        """
        return Pooling()


class Pooling(nn.Module):
    """The tail of most backbones: the mean of a map over its positions."""

    def forward(self, made: Sequence[Tensor]) -> Tensor:
        """Return features [B, D] of one map [B, D, h, w], or of features that are pooled."""
        (found,) = made
        return found.mean(dim=(2, 3)) if found.dim() == 4 else found


class Head(nn.Module):
    """A linear block for each task, over the same features; their logits stand side by side.

    With a softmax or sigmoids over all columns this is one classifier that grows; taken block by
    block it is one head per task.
    """

    def __init__(self, feature_dim: int) -> None:
        super().__init__()
        self.feature_dim = feature_dim
        self.blocks: dict[str, nn.Linear] = nn.ModuleDict()  # type: ignore[assignment]

    @property
    def tasks(self) -> tuple[int, ...]:
        """Task of every column."""
        return tuple(
            int(task) for task, block in self.blocks.items() for _ in range(block.out_features)
        )

    def grow(self, task: int, classes: int, seed: int) -> None:
        """Add the block of a task, drawn uniformly within ±1/√D."""
        block = nn.Linear(self.feature_dim, classes)
        draws = generator(seed, "head", task)
        bound = self.feature_dim**-0.5
        with torch.no_grad():
            block.weight.uniform_(-bound, bound, generator=draws)
            block.bias.uniform_(-bound, bound, generator=draws)
        self.blocks[str(task)] = block

    def remove(self, columns: Sequence[int]) -> None:
        """Remove columns: the others close up, and a block without any is deleted."""
        first = 0
        for task, block in list(self.blocks.items()):
            kept = [row for row in range(block.out_features) if first + row not in columns]
            first += block.out_features
            if not kept:
                del self.blocks[task]
            elif len(kept) < block.out_features:
                block.weight = nn.Parameter(block.weight.detach()[kept])
                block.bias = nn.Parameter(block.bias.detach()[kept])
                block.out_features = len(kept)

    @property
    def weight(self) -> Tensor:
        """The weights of all blocks [C, D]."""
        return torch.cat([block.weight for block in self.blocks.values()])

    def forward(self, features: Tensor) -> Tensor:
        """Return logits [B, C] of features [B, D]."""
        blocks = list(self.blocks.values())
        if len(blocks) == 1:
            return cast(Tensor, blocks[0](features))
        bias = torch.cat([block.bias for block in blocks])
        return functional.linear(features, self.weight, bias)


class Network(nn.Module):
    """A backbone and its head."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = Head(backbone.feature_dim)

    def forward(self, images: Tensor) -> Activations:
        """Return the activations of normalised images [B, 3, S, S]."""
        return self.activations(self.backbone(images))

    def activations(self, features: Features) -> Activations:
        """Return the activations that begin with these features."""
        return Activations(features.map, features.pooled, self.head(features.pooled))


def batch_norms(network: nn.Module) -> list[BatchNorm]:
    """Return the batch norms of a network: a method that freezes it must keep them in eval mode.

    In train mode every forward moves their running statistics, whatever the optimiser does.
    """
    return [module for module in network.modules() if isinstance(module, BatchNorm)]
