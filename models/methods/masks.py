"""Weights that tasks share by masks: which they are, and how a mask is stored as bits."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks import Backbone


def maskable(backbone: Backbone) -> dict[str, Tensor]:
    """Return the weight of every convolution and linear layer, by its name in the backbone."""
    return {
        f"{name}.weight": module.weight
        for name, module in backbone.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    }


def pack(mask: Tensor) -> Tensor:
    """Return a boolean mask of n entries as uint8 [⌈n/8⌉], the first entry in the highest bit."""
    flat = mask.flatten().to(torch.uint8)
    octets = functional.pad(flat, (0, -len(flat) % 8)).view(-1, 8)
    packed = torch.zeros_like(octets[:, 0])
    for column in octets.unbind(dim=1):
        packed = (packed << 1) | column
    return packed


def unpack(bits: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the boolean mask that `pack` made of a mask of this shape."""
    octets = torch.stack([(bits >> shift) & 1 for shift in range(7, -1, -1)], dim=1)
    return octets.flatten()[: math.prod(shape)].view(*shape).bool()
