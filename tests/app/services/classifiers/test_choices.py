"""What is chosen for a classifier where its request names nothing."""

from typing import Any

import pytest

from app.services.classifiers.choices import completed
from app.services.classifiers.spec import NewClassifier

PRETRAINED = ("analytic", "efficientnet_lite0", "DEFAULT", None)
# The default of all releases before there was analytic.
BEFORE = ("icarl", "resnet32", None, 32)


@pytest.mark.parametrize(
    ("body", "chosen"),
    [
        ({}, PRETRAINED),
        (dict.fromkeys(("method", "backbone", "weights", "image_size")), PRETRAINED),
        ({"method": "analytic"}, PRETRAINED),
        ({"options": {}, "augment": {"flip": False}, "resize": "pad"}, PRETRAINED),
        ({"image_size": 128}, (*PRETRAINED[:3], 128)),
        ({"backbone": "efficientnet_lite0"}, PRETRAINED),
        ({"backbone": "efficientnet_lite2"}, ("analytic", "efficientnet_lite2", "DEFAULT", None)),
        ({"weights": "DEFAULT"}, PRETRAINED),
        ({"backbone": "resnet18", "weights": "mine.safetensors"},
         ("analytic", "resnet18", "mine.safetensors", None)),
        # A name means no change for clients that gave it before.
        ({"method": "icarl"}, BEFORE),
        ({"method": "joint"}, ("joint", *BEFORE[1:])),
        ({"method": "of another package"}, ("of another package", *BEFORE[1:])),
        ({"method": "icarl", "backbone": "efficientnet_lite0"},
         ("icarl", "efficientnet_lite0", None, 32)),
        # Nor do requests change that name what training needs.
        ({"options": {"epochs": 5}}, BEFORE),
        ({"memory": {"exemplars": 2000}}, BEFORE),
        ({"regularizer": {"name": "cs_kd"}}, BEFORE),
        ({"backbone": "convnet", "image_size": 8}, ("icarl", "convnet", None, 8)),
        # Its weights would be downloaded, which nobody has asked for.
        ({"backbone": "resnet18"}, ("icarl", "resnet18", None, 32)),
        ({"backbone": "nope"}, ("icarl", "nope", None, 32)),
        # It is refused: see test_chosen.
        ({"method": "analytic", "backbone": "convnet"}, ("analytic", "convnet", None, None)),
    ],
)  # fmt: skip
def test_what_is_not_named(body: dict[str, Any], chosen: tuple[Any, ...]) -> None:
    spec = completed(NewClassifier(name="signs", **body))
    assert (spec.method, spec.backbone, spec.weights, spec.image_size) == chosen
    given = {name: value for name, value in body.items() if value is not None}
    assert spec.model_dump(include=set(given), exclude_unset=True).keys() == given.keys()
    assert spec.name == "signs"
