"""ONNX models of every method, way to classify and family of networks, run by ONNX Runtime."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import Tensor

from models import known
from models.classify import Output, Servable
from models.methods import describe_methods
from models.portable import to_onnx
from models.serving import size_of
from tests.models.backbones import ONE_OF_EACH_FAMILY_AT_FIRST
from tests.models.conftest import SIZE, Chain, pictures
from tests.models.servables import of_backbone, of_every_way, with_images


def run(servable: Servable, held_out: known.Scores, images: Tensor) -> dict[str, Tensor]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        outputs = to_onnx(servable, held_out, images.shape[2], file)
        model = file.read_bytes()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == outputs
    found = session.run(None, {"pixels": images.numpy()})
    return {name: torch.from_numpy(value) for name, value in zip(outputs, found, strict=True)}


def compare(servable: Servable, held_out: known.Scores, images: Tensor) -> None:
    with torch.no_grad():
        expected: Output = servable(images)
    found = run(servable, held_out, images)
    # Of noise, which is far from all that was learnt: `analytic` amplifies rounding by that.
    assert torch.allclose(found["scores"], expected.scores, atol=3e-4)
    assert torch.equal(found["scores"].argmax(dim=1), expected.scores.argmax(dim=1))
    assert ("distances" in found) == (expected.distances is not None)
    if expected.distances is not None:
        assert torch.allclose(found["distances"], expected.distances, atol=1e-3)
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
    if size_of(servable) < 2**31:
        compare(servable, {}, images)
        return
    with pytest.raises(RuntimeError, match="larger than the 2GiB limit"):
        compare(servable, {}, images)


def test_pooling_to_any_size_is_the_same() -> None:
    # It pools 1×1 to 6×6 at this size.
    compare(of_backbone("alexnet"), {}, pictures(0, 2).repeat(1, 1, 8, 8))


def test_no_export_leaves_a_trace(tmp_path: Path) -> None:
    fast = torch.backends.mha.get_fastpath_enabled()
    servable = of_backbone("convnet")
    before = servable(pictures(0, 2)).log_scores
    to_onnx(servable, {}, SIZE, tmp_path / "model.onnx")
    assert torch.equal(servable(pictures(0, 2)).log_scores, before)
    assert torch.backends.mha.get_fastpath_enabled() == fast
