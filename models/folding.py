"""Folding batch norms into the convolutions before them, for networks that only predict.

A batch norm in eval mode is a scale and a shift for each channel, so that the convolution before it
can do its work: fewer passes over memory, and in low precision fewer roundings.
"""

import copy
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from models.networks.network import Backbone, BatchNorm, batch_norms

# How far folded features may be from those before, relative to the largest.
_TOLERANCE = 1e-4


class NotFoldableError(Exception):
    """A network computes something else once its batch norms are folded."""


@torch.no_grad()
def folded(backbone: Backbone, images: Tensor) -> Backbone:
    """Return a copy in eval mode with every batch norm folded that takes a convolution's output.

    Which these are is seen as normalised `images` [B, 3, S, S] pass through, and the result is
    compared with what the backbone made of them. Raises NotFoldableError where it differs, as
    where something else takes the convolution's output too.
    """
    result = copy.deepcopy(backbone).eval()
    expected = result.trunk(images)
    for norm, conv in _pairs(result, images):
        _fold(result, norm, conv)
    found = result.trunk(images)
    for before, after in zip(expected, found, strict=True):
        if not torch.allclose(after, before, rtol=0, atol=_TOLERANCE * float(before.abs().max())):
            raise NotFoldableError("its batch norms cannot be folded into its convolutions")
    return result


def _pairs(backbone: Backbone, images: Tensor) -> list[tuple[BatchNorm, nn.Conv2d]]:
    """Return the batch norms with the convolutions whose outputs they take, each called once."""
    made: dict[int, nn.Conv2d] = {}
    kept: list[Tensor] = []  # so that no output gets the id of an earlier one
    calls: list[nn.Module] = []
    pairs: list[tuple[BatchNorm, nn.Conv2d]] = []

    def convolved(module: Any, _inputs: Any, output: Tensor) -> None:
        made[id(output)] = module
        kept.append(output)
        calls.append(module)

    def normalising(module: Any, inputs: tuple[Tensor, ...]) -> None:
        calls.append(module)
        if (conv := made.get(id(inputs[0]))) is not None:
            pairs.append((module, conv))

    with ExitStack() as hooks:
        for module in backbone.modules():
            if isinstance(module, nn.Conv2d):
                hooks.callback(module.register_forward_hook(convolved).remove)
        for norm in batch_norms(backbone):
            hooks.callback(norm.register_forward_pre_hook(normalising).remove)
        backbone.trunk(images)
    return [pair for pair in pairs if all(calls.count(each) == 1 for each in pair)]


def _fold(backbone: Backbone, norm: BatchNorm, conv: nn.Conv2d) -> None:
    assert norm.running_mean is not None  # noqa: S101 - it is one that was trained
    assert norm.running_var is not None  # noqa: S101
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight,
        conv.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
    )
    name = next(name for name, module in backbone.named_modules() if module is norm)
    backbone.set_submodule(name, nn.Identity())
