"""PackNet against its paper and by hand (invariants I40 to I44)."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from models.checkpoint import Checkpoint
from models.errors import LearningError
from models.learner import restore
from models.methods import packnet
from models.methods.masks import maskable
from models.methods.packnet import PackNet, smallest
from models.networks import batch_norms, build
from models.step import Step

from .conftest import Chain, task_images

# Momentum and decay move what is frozen, unless it is put back after the step.
OPTIONS: dict[str, Any] = {
    "retrain_epochs": 2,
    "lr": 0.05,
    "momentum": 0.9,
    "weight_decay": 0.05,
    "batch_size": 8,
}


def learnt(chain: Callable[..., Chain], tasks: int, **options: Any) -> Chain:
    learner = chain("packnet", **{**OPTIONS, **options})
    for task in range(tasks):
        learner.learn(task_images(task))
    return learner


def restored(learner: Chain, step: int = -1) -> PackNet:
    method = restore(learner.spec, learner.results[step].state)
    assert isinstance(method, PackNet)
    return method


def parts(learner: Chain, step: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    stored = learner.results[step].state.parts
    return stored["backbone"], stored["owners"]


def test_owners_partition_the_weights(chain: Callable[..., Chain]) -> None:
    """I40, I41: each task keeps n − round(p·n) of the n weights that were free."""
    learner = learnt(chain, 3)
    weights, owners = parts(learner, 2)
    assert set(owners) == set(maskable(build("convnet", 0).backbone))
    for name, owner in owners.items():
        assert owner.dtype == torch.uint8
        counts = torch.bincount(owner.flatten(), minlength=4).tolist()
        assert len(counts) == 4
        free = owner.numel()
        for task, share in enumerate((0.5, 0.75, 0.75)):
            pruned = round(share * free)
            assert counts[task + 1] == free - pruned
            free = pruned
        assert counts[0] == free
        assert not weights[name][owner == 0].any()
    method = restored(learner)
    shares = method.free_by_layer()
    for name, owner in owners.items():
        owned = sum(float((owner == task + 1).double().mean()) for task in range(3))
        assert shares[name.removesuffix(".weight")] + owned == pytest.approx(1)


def test_a_task_uses_its_own_and_older_weights(chain: Callable[..., Chain]) -> None:
    learner = learnt(chain, 3)
    weights, owners = parts(learner, 2)
    method = restored(learner)
    for task in range(3):
        used = maskable(method.network_of(task).backbone)
        for name, owner in owners.items():
            mine = (owner >= 1) & (owner <= task + 1)
            assert torch.equal(used[name], torch.where(mine, weights[name], 0.0))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.75, 0.99])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 30])
def test_the_smallest_by_sorting(share: float, count: int) -> None:
    """I41"""
    draws = torch.Generator().manual_seed(count)
    weight = torch.randn(5, 2, 3, 1, generator=draws).contiguous(memory_format=torch.channels_last)
    own = torch.zeros(30, dtype=torch.bool)
    own[torch.randperm(30, generator=draws)[:count]] = True
    own = own.view(5, 2, 3, 1)
    pruned = smallest(weight, own, share)
    assert int(pruned.sum()) == round(share * count)
    assert not (pruned & ~own).any()
    magnitudes = sorted(weight[own].abs().tolist())
    assert sorted(weight[pruned].abs().tolist()) == magnitudes[: int(pruned.sum())]


def test_of_equal_weights_the_first_go() -> None:
    pruned = smallest(torch.ones(2, 4), torch.ones(2, 4, dtype=torch.bool), 0.5)
    assert pruned.tolist() == [[True] * 4, [False] * 4]


def older_move(learner: Chain) -> bool:
    """Whether the last task moved weights of the tasks before it."""
    (before, old), (after, owners) = parts(learner, -2), parts(learner, -1)
    return any(
        not torch.equal(before[name][owner > 0], after[name][owner > 0])
        or not torch.equal(owner[owner > 0], owners[name][owner > 0])
        for name, owner in old.items()
    )


def test_older_weights_are_the_same_to_the_bit(chain: Callable[..., Chain]) -> None:
    """I42, with momentum and weight decay."""
    learner = learnt(chain, 2)
    assert not older_move(learner)
    learner.learn(task_images(2))
    assert not older_move(learner)


def test_without_putting_back_they_would_move(
    chain: Callable[..., Chain], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the test above would see."""
    learner = learnt(chain, 1)
    monkeypatch.setattr(PackNet, "after_optimizer_step", lambda *_: None)
    learner.learn(task_images(1))
    assert older_move(learner)


def test_pruning_sets_weights_free_and_to_zero(chain: Callable[..., Chain]) -> None:
    method, step = begun(chain("packnet"))
    before = {n: w.detach().clone() for n, w in maskable(method.network.backbone).items()}
    method.end_phase(step, method.phases(step)[0])
    for name, weight in maskable(method.network.backbone).items():
        kept = method.owners[name] == 1
        assert 0 < int(kept.sum()) < kept.numel()
        assert torch.equal(weight, torch.where(kept, before[name], 0.0))


@pytest.mark.parametrize("task", [0, 1])
def test_pruned_weights_stay_zero(chain: Callable[..., Chain], task: int) -> None:
    learner = learnt(chain, task)
    saved: list[Checkpoint] = []
    learner.learn(task_images(task), save=saved.append)
    training, retraining = ([c for c in saved if c.phase == phase] for phase in (0, 1))
    assert len(training) == len(retraining) == 2
    for checkpoint in training:
        owners = checkpoint.parts["owners"]
        assert all(bool((owner > 0).all()) for owner in owners.values())
    moved = []
    for checkpoint in retraining:
        weights, owners = checkpoint.parts["backbone"], checkpoint.parts["owners"]
        for name, owner in owners.items():
            assert (owner == 0).any()
            assert not weights[name][owner == 0].any()
            before = training[-1].parts["backbone"][name]
            moved.append(
                not torch.equal(before[owner == task + 1], weights[name][owner == task + 1])
            )
    assert all(moved)


def test_batch_norm_is_the_first_tasks(chain: Callable[..., Chain]) -> None:
    """I43"""
    learner = learnt(chain, 3)
    first = parts(learner, 0)[0]
    fresh = build("convnet", learner.spec.seed).backbone.state_dict()
    norms = [name for name in first if name.startswith("norms")]
    assert norms
    for name in norms:
        assert not torch.equal(first[name], fresh[name]), name
        for later in (1, 2):
            assert torch.equal(parts(learner, later)[0][name], first[name]), name


def test_new_weights_start_from_zero(chain: Callable[..., Chain]) -> None:
    method, _ = begun(learnt(chain, 1))
    for name, weight in maskable(method.network.backbone).items():
        assert not weight[method.owners[name] == 2].any()


def begun(learner: Chain) -> tuple[PackNet, Step]:
    """The method at the start of the next task."""
    method, step = learner.begin(task_images(len(learner.results)))
    assert isinstance(method, PackNet)
    return method, step


def test_what_is_trained_and_how_fast(chain: Callable[..., Chain]) -> None:
    learner = learnt(chain, 1, lr=None, batch_size=32)
    method, step = begun(Chain(learner.spec))
    whole = {id(p) for p in method.network.parameters()}
    for phase, lr, epochs in zip(method.phases(step), (0.05, 0.005), (2, 2), strict=True):
        (group,) = phase.optimizer.param_groups
        assert group["lr"] == pytest.approx(lr)
        assert {id(p) for p in group["params"]} == whole
        assert phase.frozen == []
        assert phase.epochs == epochs
    method, step = begun(learner)
    network = method.network
    weights = {id(weight) for weight in maskable(network.backbone).values()}
    head = {id(p) for p in network.head.blocks["1"].parameters()}
    for phase, lr in zip(method.phases(step), (0.05, 0.005), strict=True):
        (group,) = phase.optimizer.param_groups
        assert group["lr"] == pytest.approx(lr)
        assert {id(p) for p in group["params"]} == weights | head
        assert phase.frozen == batch_norms(network)
    # The paper's rates are for a pretrained network.
    pretrained = Step.__new__(Step)
    pretrained.__dict__ |= step.__dict__
    pretrained.spec = step.spec.model_copy(update={"weights": "DEFAULT"})
    rates = [p.optimizer.param_groups[0]["lr"] for p in method.phases(pretrained)]
    assert rates == pytest.approx([1e-3, 1e-4])


def test_defaults_are_the_papers() -> None:
    options = PackNet.Options()
    assert isinstance(options, PackNet.Options)
    found = options.model_dump()
    assert found["prune"] == (0.5, 0.75)
    assert (found["epochs"], found["retrain_epochs"]) == (20, 10)
    assert (found["batch_size"], found["weight_decay"], found["momentum"]) == (32, 0, 0.9)


def test_free_capacity_is_reported(chain: Callable[..., Chain]) -> None:
    learner = learnt(chain, 2)
    report = learner.results[1].metrics["report"]
    assert report["free_capacity"] == pytest.approx(0.375, abs=1e-3)
    assert set(report["free_capacity_by_layer"]) == {"convs.0", "convs.1", "convs.2"}
    owners = learner.results[1].state.parts["owners"]
    for layer, share in report["free_capacity_by_layer"].items():
        owner = owners[f"{layer}.weight"]
        assert share == int((owner == 0).sum()) / owner.numel()


def test_a_full_network_refuses_a_task(chain: Callable[..., Chain]) -> None:
    learner = learnt(chain, 2, prune=[0.5, 0.2], min_free=0.2)
    assert any(
        "next task will be refused: for more" in warning for warning in learner.results[1].warnings
    )
    assert not any("refused" in warning for warning in learner.results[0].warnings)
    with pytest.raises(LearningError, match=r"10\.\d\d%") as refused:
        learner.learn(task_images(2))
    assert refused.value.code == "capacity-exhausted"


def test_the_last_task_may_take_all(chain: Callable[..., Chain]) -> None:
    learner = learnt(chain, 2, prune=[0.5, 0])
    assert learner.results[1].metrics["report"]["free_capacity"] == 0
    assert not older_move(learner)


def test_more_tasks_than_a_byte_counts_are_refused(
    chain: Callable[..., Chain], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert packnet.MAX_TASKS == 254
    monkeypatch.setattr(packnet, "MAX_TASKS", 2)
    learner = learnt(chain, 2)
    with pytest.raises(LearningError, match="at most 2 tasks") as refused:
        learner.learn(task_images(2))
    assert refused.value.code == "too-many-tasks"
