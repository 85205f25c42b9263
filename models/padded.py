"""Convolutions whose kernel is larger than the map: weights that meet nothing but padding.

Their gradient is zero. oneDNN's bf16 kernels do not write it (PyTorch 2.13, CPUs with AVX512-BF16):
what was in the memory comes back, such as NaN, and clipping scales all other gradients away. So
these weights are left out of the graph. They multiply zeros: what is computed stays the same.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class PaddedTapsLeftOut(TorchFunctionMode):
    """While it is entered, 2-d convolutions have no gradient for weights that meet only padding."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is torch.conv2d and not kwargs:
            args = _left_out(*args)
        return func(*args, **(kwargs or {}))


def _left_out(
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] | str = (0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> tuple[Any, ...]:
    """Return the arguments of a convolution, with zeros for the weights that meet only padding."""
    if not isinstance(padding, str):
        axes = zip(images.shape[-2:], weight.shape[-2:], stride, padding, dilation, strict=True)
        rows, columns = (meeting(*axis) for axis in axes)
        if not (all(rows) and all(columns)):
            met = torch.tensor(rows)[:, None] & torch.tensor(columns)
            weight = torch.where(met, weight, 0.0)
    return images, weight, bias, stride, padding, dilation, groups


@cache
def meeting(size: int, kernel: int, stride: int, padding: int, dilation: int) -> tuple[bool, ...]:
    """Say of each tap of a kernel, along one axis, whether it ever meets one of `size` pixels."""
    outputs = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    return tuple(
        any(0 <= tap * dilation - padding + stride * output < size for output in range(outputs))
        for tap in range(kernel)
    )
