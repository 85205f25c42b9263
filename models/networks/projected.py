"""A frozen backbone whose features are its levels, side by side and projected at random."""

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.network import Backbone, Features
from models.seeds import generator

T = TypeVar("T")

# The levels in the middle that are also pooled by quarters, which tell where something is.
_MIDDLE = 3


class Projected(Backbone):
    """z = P·g, where g are the mean-pooled levels of a backbone, each of length 1.

    With `grid` the three levels in the middle are also pooled to grid × grid positions. P projects
    the L numbers of g on a random subspace of M, times √(L/M), with which lengths and angles stay
    about the same (Johnson and Lindenstrauss, 1984). Its rows are orthogonal, so distances in z are
    those within the subspace, and the identity that shrinkage adds favours no direction of it.
    Where g is not longer than `dimensions`, it is not projected, and M is its length.
    """

    has_map = False
    mean_pooled = False
    projection: Tensor

    def __init__(
        self, backbone: Backbone, channels: Sequence[int], dimensions: int, grid: int
    ) -> None:
        """Take a backbone whose levels have `channels`; P is to be drawn or loaded."""
        super().__init__()
        self.backbone = backbone
        self.grid = grid
        length = sum(channels) + grid**2 * sum(_middle(channels))
        self.feature_dim = min(length, dimensions)
        shape = (length, dimensions) if length > dimensions else (0,)
        self.register_buffer("projection", torch.zeros(shape))

    def draw(self, seed: int) -> None:
        """Draw P, transposed: 2·L·M² multiplications, so not done where one is loaded.

        Its last bits are those of a number of threads, as after training.
        """
        if not len(self.projection):
            return
        length, dimensions = self.projection.shape
        draws = torch.randn(length, dimensions, generator=generator(seed, "projection"))
        orthonormal, _ = torch.linalg.qr(draws)
        self.projection.copy_(orthonormal * (length / dimensions) ** 0.5)

    @property
    def published(self) -> nn.Module:
        """The module whose `state_dict` names the tensors of pretrained weights."""
        return self.backbone.published

    def forward(self, images: Tensor) -> Features:
        """Return no map, and features [B, M]."""
        return Features(None, _projected(self.trunk(images), self.grid, self.projection))

    def trunk(self, images: Tensor) -> list[Tensor]:
        """Return the levels of the backbone."""
        return self.backbone.levels(images)

    def tail(self) -> nn.Module:
        """Return the module that makes features [B, M] of the levels."""
        return _Projection(self.grid, self.projection)


class _Projection(nn.Module):
    """The tail: what is projected is that of `Projected`, and so is the projection."""

    projection: Tensor

    def __init__(self, grid: int, projection: Tensor) -> None:
        super().__init__()
        self.grid = grid
        self.register_buffer("projection", projection)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Return features [B, M] of the levels."""
        return _projected(levels, self.grid, self.projection)


def _projected(levels: Sequence[Tensor], grid: int, projection: Tensor) -> Tensor:
    parts = [level.mean(dim=(2, 3)) for level in levels]
    if grid:
        parts += [
            functional.adaptive_avg_pool2d(level, grid).flatten(1) for level in _middle(levels)
        ]
    side_by_side = torch.cat([functional.normalize(part) for part in parts], dim=1)
    return side_by_side @ projection if len(projection) else side_by_side


def _middle(levels: Sequence[T]) -> Sequence[T]:
    first = max(0, (len(levels) - _MIDDLE) // 2)
    return levels[first : first + _MIDDLE]
