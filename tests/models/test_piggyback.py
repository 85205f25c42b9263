"""Piggyback against its paper and by hand (invariants I32 to I39)."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional
from torchvision.models import shufflenet_v2_x0_5

from models.compute import to_device
from models.errors import InvalidSpecError
from models.learner import restore
from models.methods import validate
from models.methods.masks import maskable, pack, unpack
from models.methods.piggyback import Piggyback, threshold
from models.networks import batch_norms, build
from models.networks.torchvision import resolve_weights
from models.schedules import Steps
from models.serving import load_servable
from models.spec import Spec
from models.state import State, encode
from models.step import Step

from .conftest import Chain, pictures, task_images

BNS = pytest.mark.parametrize("bn", ["frozen", "per_task"])
PIXELS = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(5))


def learnt(chain: Callable[..., Chain], tasks: int, **options: Any) -> Chain:
    learner = chain("piggyback", **{"base_epochs": 2, "lr": 3e-3, **options})
    for task in range(tasks):
        learner.learn(task_images(task))
    return learner


def begun(learner: Chain) -> tuple[Piggyback, Step]:
    """The method at the start of the next task, its masks laid."""
    method, step = learner.begin(task_images(len(learner.results)))
    assert isinstance(method, Piggyback)
    return method, step


def scatter(method: Piggyback) -> None:
    """Real-valued masks on both sides of the threshold, as after long training."""
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for mask in method.masks.values():
            mask.copy_(torch.rand(mask.shape, generator=draws) * 0.02 - 0.005)


def sha256(part: dict[str, Tensor]) -> str:
    return hashlib.sha256(encode(part)).hexdigest()


@BNS
def test_a_task_starts_as_the_base_to_the_bit(chain: Callable[..., Chain], bn: str) -> None:
    """I32"""
    method, _ = begun(learnt(chain, 1, bn=bn))
    method.network.eval()
    with torch.no_grad():
        masked, base = method.forward(PIXELS), method.network(PIXELS)
    assert torch.equal(masked.features, base.features)
    assert torch.equal(masked.logits, base.logits)
    assert all(bool((mask > 5e-3).all()) for mask in method.masks.values())


@BNS
def test_the_base_never_changes(chain: Callable[..., Chain], bn: str) -> None:
    """I33, I39: nor does batch norm of its own reach it; so its blob is shared."""
    learner = learnt(chain, 3, bn=bn)
    parts = [result.state.parts for result in learner.results]
    assert len({sha256(part["backbone"]) for part in parts}) == 1
    assert set(parts[0]) == {"preprocess", "backbone", "head.0", "router.0", "known", "calibration"}
    assert set(parts[2]) - set(parts[1]) == {"task.2", "head.2", "router.2"}
    # Those of all held-out images, of which there are more.
    shared = set(parts[1]) - {"known", "calibration"}
    assert all(sha256(parts[2][name]) == sha256(parts[1][name]) for name in shared)


@BNS
def test_only_what_belongs_to_the_task_is_learnt(chain: Callable[..., Chain], bn: str) -> None:
    method, step = begun(learnt(chain, 1, bn=bn))
    (phase,) = method.phases(step)
    base = {id(p) for p in method.network.backbone.parameters()}
    old = {id(p) for p in method.network.head.blocks["0"].parameters()}
    masks, head = ({id(p) for p in group["params"]} for group in phase.optimizer.param_groups)
    assert not (masks | head) & (base | old)
    assert head == {id(p) for p in method.network.head.blocks["1"].parameters()}
    assert masks >= {id(mask) for mask in method.masks.values()}
    assert [group["lr"] for group in phase.optimizer.param_groups] == [3e-3, 1e-4]
    assert list(phase.frozen) == (batch_norms(method.network) if bn == "frozen" else [])


@BNS
def test_bits_flip_and_batch_norm_moves(chain: Callable[..., Chain], bn: str) -> None:
    learner = learnt(chain, 2, bn=bn, epochs=10)
    state = learner.results[1].state
    base, task = state.parts["backbone"], state.parts["task.1"]
    masks = {name for name in base if name.startswith("convs")}
    assert masks <= set(task)
    bits = torch.cat([unpack(task[name], base[name].shape).flatten() for name in masks])
    assert 0 < int(bits.sum()) < len(bits)
    norms = {name for name in task if name.startswith("norms")}
    assert (norms == {name for name in base if name.startswith("norms")}) == (bn == "per_task")
    for name in norms:
        assert not torch.equal(task[name], base[name]), name
    metrics = learner.results[1].metrics
    assert metrics["task_aware_matrix"][1][1] > 0.9


def test_the_straight_through_gradient(chain: Callable[..., Chain]) -> None:
    """I35: dL/dm_r = dL/dW_eff · W, whatever side of the threshold m_r is on."""
    method, _ = begun(learnt(chain, 1))
    scatter(method)
    method.network.eval()
    targets = torch.tensor([2, 3, 2, 3, 3, 2])
    functional.cross_entropy(method.forward(PIXELS).logits, targets).backward()

    backbone = method.network.backbone
    base = {name: weight.detach() for name, weight in maskable(backbone).items()}
    effective = {
        name: (weight * (method.masks[name] > 5e-3)).detach().requires_grad_()
        for name, weight in base.items()
    }
    features = functional_call(backbone, effective, (PIXELS,)).pooled
    functional.cross_entropy(method.network.head(features), targets).backward()
    for name, mask in method.masks.items():
        assert mask.grad is not None
        gradient = effective[name].grad
        assert gradient is not None
        assert float(gradient.abs().max()) > 0
        torch.testing.assert_close(mask.grad, gradient * base[name])


@pytest.mark.parametrize("shape", [(1,), (7,), (8,), (9,), (5, 3, 3, 3), (4, 2)])
def test_bits_round_trip(shape: tuple[int, ...]) -> None:
    """I36"""
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(1)) > 0.5
    for kept in (mask, torch.zeros(shape, dtype=torch.bool), torch.ones(shape, dtype=torch.bool)):
        bits = pack(kept)
        assert bits.dtype == torch.uint8
        assert len(bits) == -(-kept.numel() // 8)
        assert torch.equal(unpack(bits, shape), kept)


def test_bits_do_not_depend_on_the_memory_format() -> None:
    mask = torch.rand(4, 3, 2, 2, generator=torch.Generator().manual_seed(1)) > 0.5
    assert torch.equal(pack(mask), pack(mask.contiguous(memory_format=torch.channels_last)))


@BNS
def test_reloaded_bits_predict_as_in_training(chain: Callable[..., Chain], bn: str) -> None:
    """I36"""
    learner = learnt(chain, 1, bn=bn)
    method, step = begun(learner)
    scatter(method)
    with torch.no_grad():
        for tensor in method.norms.values():
            if tensor.is_floating_point():
                tensor.mul_(1.1)
    method.network.eval()
    with torch.no_grad():
        trained = method.forward(PIXELS).features
    assert not torch.equal(trained, method.network(PIXELS).features)
    method.end(step)
    reloaded = restore(learner.spec, State(method.state(), step.tasks))
    assert isinstance(reloaded, Piggyback)
    with torch.no_grad():
        network = to_device(reloaded.network_of(1).eval(), torch.device("cpu"))
        assert torch.equal(network(PIXELS).features, trained)


def test_the_threshold_is_strict() -> None:
    """I37"""
    tau = torch.tensor(5e-3)
    above = torch.nextafter(tau, torch.tensor(1.0))
    real = torch.stack([tau, above, -tau, tau / 2]).requires_grad_()
    mask = threshold(real, float(tau))
    assert mask.tolist() == [0, 1, 0, 0]
    mask.sum().backward()
    assert real.grad is not None
    assert real.grad.tolist() == [1, 1, 1, 1]


def without(state: State, task: int) -> State:
    parts = {name: part for name, part in state.parts.items() if name.split(".")[-1] != str(task)}
    return State(parts, tuple(own for own in state.tasks if own != task))


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_deleting_a_task_changes_no_other(chain: Callable[..., Chain], gone: int) -> None:
    """I38"""
    learner = learnt(chain, 3)
    whole = learner.results[-1].state
    images = torch.cat([pictures(column, 4, seed=2) for column in range(6)])
    kept = [task for task in range(3) if task != gone]
    left = without(whole, gone)
    for rank, task in enumerate(kept):
        before = load_servable(learner.spec, whole, task=task)(images).scores
        after = load_servable(learner.spec, left, task=task)(images).scores
        assert torch.equal(before[:, 2 * task : 2 * task + 2], after[:, 2 * rank : 2 * rank + 2])
    routed = load_servable(learner.spec, left)(images)
    assert routed.tasks is not None
    assert set(routed.tasks.tolist()) <= set(kept)


def test_a_task_does_not_depend_on_those_before_it(chain: Callable[..., Chain]) -> None:
    """I38: after the base, what was learnt in between leaves no trace."""
    one, other = learnt(chain, 1), learnt(chain, 1)
    one.learn({column: pictures(column, 16) for column in (2, 3)})
    other.learn({column: pictures(column + 40, 16) for column in (2, 3)})
    ends = [learner.learn(task_images(2)).state.parts for learner in (one, other)]
    for name in ("task.2", "head.2", "router.2"):
        assert sha256(ends[0][name]) == sha256(ends[1][name])
    assert sha256(ends[0]["task.1"]) != sha256(ends[1]["task.1"])


def test_a_task_costs_a_bit_a_weight(chain: Callable[..., Chain]) -> None:
    learner = learnt(chain, 2)
    before, after = (
        {
            sha256(part): len(encode(part))
            for name, part in result.state.parts.items()
            if name not in ("known", "calibration")  # of all held-out images
        }
        for result in learner.results
    )
    added = sum(size for name, size in after.items() if name not in before)
    backbone = maskable(build("convnet", 0).backbone)
    bits = sum(weight.numel() for weight in backbone.values())
    head, means = 4 * (2 * 128 + 2), 4 * 2 * 128
    assert bits / 8 + head + means <= added <= 1.05 * (bits / 8 + head + means)


def test_pretrained_weights_are_the_base(tmp_path: Path) -> None:
    torch.manual_seed(0)
    record = resolve_weights("shufflenet_v2_x0_5", "DEFAULT")
    published = shufflenet_v2_x0_5().state_dict()
    torch.save(published, tmp_path / record.url.rsplit("/", 1)[-1])
    spec = Spec(
        method="piggyback",
        options={"epochs": 1, "batch_size": 16},
        backbone="shufflenet_v2_x0_5",
        weights="DEFAULT",
        image_size=8,
    )
    learner = Chain(validate(spec))
    result = learner.learn(task_images(0), weights_dir=tmp_path)
    for name, tensor in result.state.parts["backbone"].items():
        assert torch.equal(tensor, published[name.removeprefix("body.")]), name
    weights = [name for name, tensor in published.items() if tensor.ndim == 4]
    assert set(result.state.parts["task.0"]) == {f"body.{name}" for name in weights}


def test_too_few_steps_for_a_bit_to_flip_are_warned_of(chain: Callable[..., Chain]) -> None:
    def flipped(learner: Chain) -> bool:
        state = learner.results[-1].state
        base, task = state.parts["backbone"], state.parts["task.1"]
        return not all(bool(unpack(bits, base[name].shape).all()) for name, bits in task.items())

    # 2 steps an epoch; masks must come down by 5e-3.
    short = learnt(chain, 2, epochs=10, lr=1e-4)
    assert any("20 steps, in which no weight" in warning for warning in short.results[1].warnings)
    assert not flipped(short)
    assert not any("masked out" in warning for warning in short.results[0].warnings)
    long = learnt(chain, 2, epochs=10, lr=1e-3)
    assert not any("masked out" in warning for warning in long.results[1].warnings)
    assert flipped(long)


def test_the_schedule(chain: Callable[..., Chain]) -> None:
    options = validate(Spec(method="piggyback", backbone="convnet")).options
    expected = {"epochs": 30, "batch_size": 32, "lr": 1e-4, "head_lr": 1e-4, "bn": "frozen"}
    expected |= {"init": 1e-2, "threshold": 5e-3}
    assert {name: options[name] for name in expected} == expected
    method, step = begun(learnt(chain, 1))
    (phase,) = method.phases(step)
    assert isinstance(phase.optimizer, torch.optim.Adam)
    assert phase.schedule == Steps((0.5,), 0.1)


def test_a_start_below_the_threshold_is_refused() -> None:
    with pytest.raises(InvalidSpecError, match="above threshold"):
        validate(Spec(method="piggyback", options={"init": 5e-3}))
