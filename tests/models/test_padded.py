"""Weights that meet nothing but padding have no gradient, whatever was in the memory before."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from models.compute import Compute, to_device
from models.padded import PaddedTapsLeftOut, meeting

CPU = torch.device("cpu")


@pytest.mark.parametrize("kernel", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_which_taps_meet_a_pixel(kernel: int, stride: int) -> None:
    """By differentiation: a tap meets one exactly if the sum of all outputs depends on it."""
    for size, padding, dilation in itertools.product((1, 2, 3, 4, 9), (0, 1, 2, 3), (1, 2)):
        if size + 2 * padding < dilation * (kernel - 1) + 1:
            continue
        weight = torch.ones(1, 1, kernel, requires_grad=True)
        image = torch.ones(1, 1, size)
        nn.functional.conv1d(image, weight, None, stride, padding, dilation).sum().backward()
        assert weight.grad is not None
        expected = tuple((weight.grad.flatten() > 0).tolist())
        assert meeting(size, kernel, stride, padding, dilation) == expected


def leave_nan_in_memory() -> None:
    """What is freed is what the next tensors of the process are made of."""
    for count in (10**3, 10**4, 10**5, 10**6):
        _left = [torch.full((count,), float("nan")) for _ in range(4)]


def gradient(layer: nn.Conv2d, images: Tensor, compute: Compute) -> Tensor:
    layer.weight.grad = None
    with compute.autocast():
        outputs = layer(images)
    leave_nan_in_memory()
    (outputs.float() * torch.linspace(-1, 1, outputs.numel()).view_as(outputs)).sum().backward()
    assert layer.weight.grad is not None
    return layer.weight.grad


@pytest.mark.skipif(not Compute.on("cpu").bf16, reason="needs a CPU that multiplies bf16")
@pytest.mark.parametrize(("kernel", "stride", "size"), [(3, 2, 1), (5, 1, 1), (5, 2, 1), (7, 1, 2)])
def test_gradients_in_bf16_are_those_in_float32(kernel: int, stride: int, size: int) -> None:
    torch.manual_seed(0)
    layer = to_device(nn.Conv2d(256, 512, kernel, stride, kernel // 2, bias=False), CPU)
    images = torch.randn(17, 256, size, size).contiguous(memory_format=torch.channels_last)
    exact = gradient(layer, images, Compute(CPU, bf16=False))
    for _ in range(5):
        found = gradient(layer, images, Compute(CPU, bf16=True))
        assert (found - exact).norm() < 0.02 * exact.norm()
        assert (found[exact == 0] == 0).all()


@pytest.mark.parametrize("padding", [(1, 1), (0, 2), "same"])
def test_what_is_computed_stays_the_same(padding: tuple[int, int] | str) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 6, (1, 3) if padding == (0, 2) else 3, padding=padding, groups=2)
    for size in (1, 2, 5):
        images = torch.randn(2, 4, size, size)
        with PaddedTapsLeftOut():
            found = layer(images)
        torch.testing.assert_close(found, layer(images))
