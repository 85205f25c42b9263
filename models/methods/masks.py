"""Weights that tasks share by masks: which they are, and how bits are stored."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from models.networks import Backbone


def maskable(backbone: Backbone) -> dict[str, Tensor]:
    """Return the weight of every convolution and linear layer, by its name in the backbone."""
    return {
        f"{name}.weight": module.weight
        for name, module in backbone.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    }


def pack(mask: Tensor) -> Tensor:
    """Return a boolean mask of n entries as uint8 [⌈n/8⌉] on the CPU."""
    return torch.from_numpy(np.packbits(mask.flatten().cpu().numpy()))


def unpack(bits: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the boolean mask that `pack` made of a mask of this shape, on the CPU."""
    flat = np.unpackbits(bits.cpu().numpy(), count=math.prod(shape))
    return torch.from_numpy(flat).view(torch.bool).view(*shape)
