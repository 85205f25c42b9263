"""From uint8 pixels to the network's input. Part of every version."""

from typing import Self

import torch
from torch import Tensor, nn

from models.state import Tensors


class Preprocess(nn.Module):
    """Subtract a mean and divide by a deviation per channel.

    Both are in [0, 1] units, fixed at the first task or given by pretrained weights. The same
    module trains, evaluates and serves.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.float().clone())
        self.register_buffer("std", std.float().clone())

    @classmethod
    def fitted(cls, images: Tensor) -> Self:
        """Return the preprocessing with mean and deviation of uint8 images [N, 3, S, S]."""
        # In float64 against rounding, and by batches, since that takes 8 bytes a pixel.
        total = torch.zeros(3, dtype=torch.float64, device=images.device)
        square = torch.zeros_like(total)
        for batch in images.split(512):
            pixels = batch.double() / 255
            total += pixels.sum(dim=(0, 2, 3))
            square += pixels.square().sum(dim=(0, 2, 3))
        count = images.numel() / 3
        mean = total / count
        std = (square / count - mean.square()).clamp_min(0).sqrt()
        # Images of one flat colour have a deviation of zero.
        return cls(mean, std.clamp_min(1 / 255))

    @classmethod
    def from_state(cls, part: Tensors) -> Self:
        """Return the preprocessing of which `state` returned these tensors."""
        return cls(part["mean"], part["std"])

    def state(self) -> Tensors:
        """Return the tensors that define the module."""
        return {"mean": self.mean, "std": self.std}

    def forward(self, images: Tensor) -> Tensor:
        """Return float32 [B, 3, S, S] from uint8 [B, 3, S, S]."""
        scale = (1 / (255 * self.std)).view(1, 3, 1, 1)
        shift = (self.mean / self.std).view(1, 3, 1, 1)
        return images.float() * scale - shift
