"""ONNX models of every method, way to classify and family of networks, run by ONNX Runtime."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import Tensor

from models import known, methods, networks
from models.classify import Output, Servable, Softmax
from models.methods import describe_methods
from models.portable import to_onnx
from models.preprocess import Preprocess
from models.serving import load_servable
from tests.models.backbones import ONE_OF_EACH_FAMILY_AT_FIRST
from tests.models.conftest import SIZE, Chain, pictures, task_images


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
    assert torch.allclose(found["scores"], expected.scores, atol=1e-4)
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
    learner = chain(method)
    for task in (0, 1):
        learner.learn(task_images(task))
    state = learner.results[-1].state
    images = torch.cat([pictures(label, 6, seed=5) for label in range(5)])
    kind = methods.get(method)
    ways = [(None, way) for way in kind.offered(state.parts)]
    ways += [(1, "auto")] if kind.needs.task_id else []
    for task, classify in ways:
        servable = load_servable(learner.spec, state, task=task, classify=classify)
        default = task is None and classify == kind.classify[0]
        compare(servable, state.parts.get(known.PART, {}) if default else {}, images)


@ONE_OF_EACH_FAMILY_AT_FIRST
@pytest.mark.slow
def test_every_backbone_answers_the_same(name: str) -> None:
    size = 64 if networks.accepts(name, 64) else 224
    size = 96 if name == "inception_v3" else size
    network = networks.build(name, seed=1)
    network.head.grow(0, 3, seed=1)
    servable = Softmax(Preprocess(torch.zeros(3), torch.ones(3)), network)
    servable.requires_grad_(False).eval()
    draws = torch.Generator().manual_seed(3)
    compare(servable, {}, torch.randint(0, 256, (3, 3, size, size), generator=draws).byte())


def test_pooling_to_any_size_is_the_same() -> None:
    network = networks.build("alexnet", seed=1)  # pools 1×1 to 6×6 at this size
    network.head.grow(0, 3, seed=1)
    servable = Softmax(Preprocess(torch.zeros(3), torch.ones(3)), network)
    compare(servable.requires_grad_(False).eval(), {}, pictures(0, 2).repeat(1, 1, 8, 8))


def test_no_export_leaves_a_trace(tmp_path: Path) -> None:
    fast = torch.backends.mha.get_fastpath_enabled()
    network = networks.build("convnet", seed=1)
    network.head.grow(0, 3, seed=1)
    servable = Softmax(Preprocess(torch.zeros(3), torch.ones(3)), network)
    servable.requires_grad_(False).eval()
    before = servable(pictures(0, 2)).log_scores
    to_onnx(servable, {}, SIZE, tmp_path / "model.onnx")
    assert torch.equal(servable(pictures(0, 2)).log_scores, before)
    assert torch.backends.mha.get_fastpath_enabled() == fast
