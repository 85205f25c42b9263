"""Programs of every method, way to classify and family of networks, run as their source says."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from models import known
from models.classify import Output, Servable
from models.methods import describe_methods
from models.torch_program import to_program
from tests.models.backbones import ONE_OF_EACH_FAMILY_AT_FIRST
from tests.models.conftest import Chain
from tests.models.servables import of_backbone, of_every_way, with_images


def compare(servable: Servable, held_out: known.Scores, images: Tensor) -> None:
    program = to_program(servable, held_out, images.shape[2])
    # It follows the images to their device.
    assert "device(type=" not in program.source
    defined: dict[str, Any] = {}
    exec(program.source, defined)
    with torch.no_grad():
        # A single image too: programs are made from an example of two.
        for some in (images, images[:1]):
            expected: Output = servable(some)
            found = dict(
                zip(program.outputs, defined["forward"](program.tensors, some), strict=True)
            )
            # Some processors add up in another order, which `analytic` amplifies: 2e-5 was seen.
            assert torch.allclose(found["scores"], expected.scores, atol=5e-5)
            assert torch.equal(found["scores"].argmax(dim=1), expected.scores.argmax(dim=1))
            assert ("distances" in found) == (expected.distances is not None)
            if expected.distances is not None:
                assert torch.allclose(found["distances"], expected.distances, atol=5e-6)
            if held_out:
                p_values = known.p_values(known.scores(expected), held_out)
                # A held-out image's own score is equal but for rounding.
                assert (found["p_known"] - p_values).abs().mean() < 0.02


@pytest.mark.parametrize("method", [method.name for method in describe_methods()])
def test_every_method_and_way_to_classify_answers_the_same(
    chain: Callable[..., Chain], method: str
) -> None:
    for servable, held_out, images in of_every_way(chain(method), method):
        compare(servable, held_out, images)


@ONE_OF_EACH_FAMILY_AT_FIRST
@pytest.mark.slow
def test_every_backbone_answers_the_same(name: str) -> None:
    servable, images = with_images(name)
    compare(servable, {}, images)


def test_a_program_is_operators_and_nothing_else() -> None:
    source = to_program(of_backbone("convnet"), {}, 8).source
    for line in source.split("def forward", 1)[1].splitlines()[2:]:
        step = line.strip()
        assert " = torch.ops.aten." in step or " = tensors[" in step or step.startswith("return (")
