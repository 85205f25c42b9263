"""Batch norms folded into convolutions change nothing but rounding, or are refused."""

import pytest
import torch
from torch import Tensor, nn

from models import networks
from models.folding import NotFoldableError, folded
from models.networks import Backbone, Features, batch_norms


def trained(backbone: Backbone) -> Backbone:
    """The backbone with batch norms that do something, as after training."""
    draws = torch.Generator().manual_seed(1)
    for norm in batch_norms(backbone):
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            tensor.data = torch.rand(tensor.shape, generator=draws) + 0.5
        norm.running_var = torch.rand(norm.running_var.shape, generator=draws) + 0.5
    return backbone.eval().requires_grad_(False)


def images(size: int) -> Tensor:
    return torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("name", ["convnet", "resnet20", "efficientnet_lite0", "resnet18"])
def test_a_folded_backbone_has_no_batch_norm_and_the_same_features(name: str) -> None:
    backbone = trained(networks.build(name, 0).backbone)
    before = backbone(images(32)).pooled
    result = folded(backbone, images(32))
    assert batch_norms(result) == []
    torch.testing.assert_close(result(images(32)).pooled, before, rtol=1e-4, atol=1e-4)
    # The one that serves meanwhile is as it was.
    assert batch_norms(backbone)
    assert torch.equal(backbone(images(32)).pooled, before)


def test_a_batch_norm_after_something_else_stays() -> None:
    backbone = trained(networks.build("densenet121", 0).backbone)
    result = folded(backbone, images(32))
    assert 0 < len(batch_norms(result)) < len(batch_norms(backbone))
    torch.testing.assert_close(
        result(images(32)).pooled, backbone(images(32)).pooled, rtol=1e-4, atol=1e-4
    )


class TakenTwice(Backbone):
    """A convolution whose output the batch norm takes, and the sum as well."""

    feature_dim = 4

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, images: Tensor) -> Features:
        made = self.conv(images)
        summed = made + self.norm(made)
        return Features(summed, summed.mean(dim=(2, 3)))


class CalledTwice(TakenTwice):
    """A convolution and its batch norm, twice: the weights cannot be both."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, images: Tensor) -> Features:
        made = self.norm(self.conv(self.norm(self.conv(images))))
        return Features(made, made.mean(dim=(2, 3)))


def test_a_convolution_that_something_else_takes_too_is_not_folded() -> None:
    with pytest.raises(NotFoldableError):
        folded(trained(TakenTwice()), images(8))


def test_modules_that_are_called_twice_stay() -> None:
    backbone = trained(CalledTwice())
    result = folded(backbone, images(8))
    assert len(batch_norms(result)) == 1
    assert torch.equal(result(images(8)).pooled, backbone(images(8)).pooled)
