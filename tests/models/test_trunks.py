"""What predicts is a tail over trunks, for every method and every way to classify."""

import gc
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from models import evaluate, methods, networks
from models.classify import Output, Softmax
from models.learner import restore
from models.measuring import CPU
from models.methods import describe_methods
from models.networks.projected import Projected
from models.preprocess import Preprocess
from models.serving import load_servable
from models.state import encode
from models.trunks import NotDivisibleError, Trunk, trunks, with_runners
from tests.models.conftest import Chain, pictures, task_images

METHODS = [method.name for method in describe_methods()]


def same(found: Output, expected: Output) -> None:
    """Check that all that is given is equal to the bit."""
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert torch.equal(one, other)


@pytest.mark.parametrize("method", METHODS)
def test_runners_that_do_what_trunks_do_change_no_bit(
    chain: Callable[..., Chain], method: str
) -> None:
    learner = chain(method)
    for task in (0, 1):
        learner.learn(task_images(task))
    state, images = learner.results[-1].state, pictures(1, 9)
    kind = methods.get(method)
    ways = [(None, way) for way in kind.offered(state.parts)]
    ways += [(1, "auto")] if kind.needs.task_id else []
    for task, classify in ways:
        servable = load_servable(learner.spec, state, task=task, classify=classify)
        calls: list[int] = []

        def counted(trunk: Trunk, calls: list[int] = calls) -> Callable[[Tensor], list[Tensor]]:
            def run(batch: Tensor) -> list[Tensor]:
                calls.append(len(batch))
                return list(trunk(batch))

            return run

        parts = trunks(servable)
        fast = with_runners(servable, parts, [counted(trunk) for trunk in parts])
        with torch.inference_mode():
            same(fast(images), servable(images))
        assert sum(calls) >= len(images)


@pytest.mark.parametrize("method", METHODS)
def test_ways_to_classify_share_a_pass_and_change_no_bit(
    chain: Callable[..., Chain], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = chain(method)
    for task in (0, 1):
        learner.learn(task_images(task))
    state, images = learner.results[-1].state, pictures(1, 300)  # more than one batch
    made = restore(learner.spec, state)
    servables = [made.servable(classify=way) for way in made.offered(state.parts)]
    alone = [evaluate.predict(servable, images, CPU) for servable in servables]
    passes: list[int] = []
    forward = Trunk.forward

    def counted(self: Trunk, batch: Tensor) -> tuple[Tensor, ...]:
        passes.append(len(batch))
        return forward(self, batch)

    monkeypatch.setattr(Trunk, "forward", counted)
    together = evaluate.predict_all(servables, images, CPU)
    for found, expected in zip(together, alone, strict=True):
        same(found, expected)
    if method == "icarl":
        assert len(servables) == 3
        assert passes == [256, 44]


def test_a_router_has_a_trunk_for_each_network(chain: Callable[..., Chain]) -> None:
    learner = chain("packnet")
    for task in (0, 1):
        learner.learn(task_images(task))
    assert len(trunks(load_servable(learner.spec, learner.results[-1].state))) == 3
    assert len(trunks(load_servable(learner.spec, learner.results[-1].state, task=0))) == 1


@pytest.mark.parametrize("grid", [0, 2])
def test_levels_are_projected_by_the_tail(grid: int) -> None:
    backbone = networks.build("convnet", 0).backbone
    projected = Projected(backbone, (32, 64, 128), 16, grid).eval()
    images = torch.randn(2, 3, 16, 16)
    made = projected.trunk(images)
    assert [level.shape[1] for level in made] == [32, 64, 128]
    assert torch.equal(projected.tail()(made), projected(images).pooled)


def test_the_trunk_is_freed_once_a_runner_has_taken_its_place() -> None:
    network = networks.build("convnet", 0)
    network.head.grow(0, 3, 0)
    servable = Softmax(Preprocess(torch.zeros(3), torch.ones(3)), network.eval())
    weight = weakref.ref(next(network.backbone.parameters()))
    head = next(network.head.parameters())
    parts = trunks(servable)
    fast = with_runners(servable, parts, [lambda images: [torch.zeros(len(images), 128)]])
    assert next(fast.network.head.parameters()) is head
    del network, servable, parts
    gc.collect()
    assert weight() is None
    assert fast(torch.zeros(2, 3, 8, 8, dtype=torch.uint8)).log_scores.shape == (2, 3)


def test_a_module_that_preprocesses_twice_is_not_divided() -> None:
    network = networks.build("convnet", 0)
    servable = Softmax(Preprocess(torch.zeros(3), torch.ones(3)), network)
    servable.other = Preprocess(torch.ones(3), torch.ones(3))
    with pytest.raises(NotDivisibleError):
        trunks(servable)


@pytest.mark.parametrize("method", METHODS)
def test_only_networks_that_no_step_changes_are_compiled(
    chain: Callable[..., Chain], method: str
) -> None:
    asked: list[Trunk] = []

    def compiled(trunk: Trunk) -> Trunk:
        asked.append(trunk)
        return trunk

    learner = chain(method)
    before = chain(method).learn(task_images(0))
    after = learner.learn(task_images(0), compile_trunk=compiled)
    assert bool(asked) == methods.get(method).frozen
    for name, part in after.state.parts.items():
        assert encode(part) == encode(before.state.parts[name])
