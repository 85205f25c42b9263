"""Which backbones a test runs on that concerns all of them."""

import pytest

from models.networks import describe_backbones

# A small one of each family: the others are built by the same code, with other numbers.
_FIRST = {
    "alexnet", "convnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_lite0",
    "efficientnet_v2_s", "googlenet", "inception_v3", "maxvit_t", "mnasnet0_5", "mobilenet_v2",
    "mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf", "resnet18", "resnet20", "resnet50",
    "shufflenet_v2_x0_5", "squeezenet1_0", "swin_t", "swin_v2_t", "vgg11", "vgg11_bn", "vit_b_16",
}  # fmt: skip

# The other sizes of a family only among the slow tests.
ONE_OF_EACH_FAMILY_AT_FIRST = pytest.mark.parametrize(
    "name",
    [
        pytest.param(info.name, marks=() if info.name in _FIRST else pytest.mark.slow)
        for info in describe_backbones()
    ],
)
