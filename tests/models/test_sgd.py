"""The training phase of stochastic gradient descent: clipped gradients, rates of its parts."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from models.errors import InvalidSpecError
from models.learner import restore
from models.methods import Method, validate
from models.methods.sgd import ADAMW_LR, PRETRAINED_WARM_UP
from models.networks import batch_norms
from models.schedules import Steps
from models.spec import Spec
from models.step import Step

from .conftest import Chain, task_images

FIRST, SECOND = task_images(0), task_images(1)


def moved(before: nn.Module, after: nn.Module) -> float:
    """The length of the way from one network's parameters to another's."""
    pairs = zip(before.parameters(), after.parameters(), strict=True)
    return float(torch.stack([(one - other).detach().norm() for one, other in pairs]).norm())


@pytest.mark.parametrize("norm", [0.01, 0.1])
def test_a_step_is_no_longer_than_the_rate_times_the_norm(
    chain: Callable[..., Chain], norm: float
) -> None:
    plain = {"epochs": 1, "batch_size": 64, "lr": 0.5, "momentum": 0, "weight_decay": 0}
    learner = chain("finetune", **plain, max_grad_norm=norm)
    method, _ = learner.begin(FIRST)
    result = learner.learn(FIRST)
    trained = restore(learner.spec, result.state).network
    assert moved(method.network, trained) == pytest.approx(0.5 * norm, rel=1e-4)


@pytest.mark.parametrize("method", ["icarl", "replay", "lwf", "mas", "packnet", "cs_kd"])
def test_gradients_within_the_norm_stay_to_the_bit(
    chain: Callable[..., Chain], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clipped = chain(method, max_grad_norm=1e6).learn(FIRST)
    monkeypatch.setattr(nn.utils, "clip_grad_norm_", lambda *_: None)
    free = chain(method).learn(FIRST)
    for part, own in free.state.parts.items():
        for name, tensor in own.items():
            assert torch.equal(tensor, clipped.state.parts[part][name]), f"{part}/{name}"


def rates(method: Method, step: Step) -> dict[str, float]:  # type: ignore[type-arg]
    """The rate of each parameter that the last training phase trains."""
    names = {id(parameter): name for name, parameter in method.network.named_parameters()}
    groups = method.phases(step)[-1].optimizer.param_groups
    return {names[id(p)].split(".")[0]: group["lr"] for group in groups for p in group["params"]}


def pretrained(learner: Chain) -> Chain:
    learner.spec = learner.spec.model_copy(update={"weights": "own.safetensors"})
    return learner


@pytest.mark.parametrize(
    ("method", "head"),
    [("finetune", 0.05), ("lwf", 0.05), ("mas", 0.05), ("replay", 0.05), ("icarl", 0.02)],
)
def test_a_pretrained_backbone_learns_at_a_tenth_of_the_rate(
    chain: Callable[..., Chain], method: str, head: float
) -> None:
    """0.1·√(32/128) = 0.05."""
    learner = chain(method, batch_size=32)
    assert rates(*learner.begin(FIRST)) == pytest.approx({"backbone": head, "head": head})
    slow = pytest.approx({"backbone": head / 10, "head": head})
    assert rates(*pretrained(learner).begin(FIRST)) == slow
    own = chain(method, batch_size=32, lr=0.3)
    assert rates(*pretrained(own).begin(FIRST)) == {"backbone": 0.3, "head": 0.3}


def test_packnet_has_the_papers_rates_for_pretrained_weights(chain: Callable[..., Chain]) -> None:
    method, step = pretrained(chain("packnet")).begin(FIRST)
    assert rates(method, step) == pytest.approx({"backbone": 1e-4, "head": 1e-4})
    train = method.phases(step)[0].optimizer.param_groups
    assert [group["lr"] for group in train] == [1e-3]


@pytest.mark.parametrize(
    ("method", "options", "scratch", "taught"),
    [
        ("finetune", {}, 5, 5),
        ("icarl", {}, 25, 5),  # from scratch the paper's gradients are below 25
        ("icarl", {"loss": "ce_kd"}, 5, 5),
        ("icarl", {"max_grad_norm": 7}, 7, 7),
    ],
)
def test_default_norms(
    chain: Callable[..., Chain], method: str, options: dict[str, Any], scratch: float, taught: float
) -> None:
    for learner, norm in (
        (chain(method, **options), scratch),
        (pretrained(chain(method, **options)), taught),
    ):
        begun, step = learner.begin(FIRST)
        assert [phase.max_grad_norm for phase in begun.phases(step)][-1] == norm


def test_pretrained_weights_are_trained_gently(chain: Callable[..., Chain]) -> None:
    """A warm-up, and with small batches the batch norm of the pretraining."""
    for size, frozen in ((16, True), (32, True), (64, False)):
        taught, step = pretrained(chain("finetune", batch_size=size)).begin(FIRST)
        (phase,) = taught.phases(step)
        assert phase.schedule == Steps((0.6, 0.85), 0.1, PRETRAINED_WARM_UP)
        assert set(phase.frozen) == (set(batch_norms(taught.network)) if frozen else set())
    result = chain("finetune", batch_size=16).learn(FIRST)
    assert result.state.parts["backbone"]["norms.0.running_mean"].any()  # from scratch they move


@pytest.mark.parametrize(
    "method", ["icarl", "replay", "lwf", "lwm", "mas", "packnet", "cs_kd", "finetune", "joint"]
)
def test_the_papers_recipes_are_the_defaults(chain: Callable[..., Chain], method: str) -> None:
    begun, step = chain(method).begin(FIRST)
    for phase in begun.phases(step):
        assert type(phase.optimizer) is torch.optim.SGD
        assert phase.schedule == Steps(phase.schedule.milestones, phase.schedule.decay)  # type: ignore[attr-defined]
        assert (list(phase.frozen), phase.stopping) == ([], None)


def test_adamw_against_its_formula(chain: Callable[..., Chain]) -> None:
    """The first step: m/(√v + ε) with both bias corrections is the gradient's sign."""
    options = {"optimizer": "adamw", "epochs": 1, "batch_size": 64, "weight_decay": 0.1}
    learner = chain("finetune", **options)
    before, _ = learner.begin(FIRST)
    result = learner.learn(FIRST)
    was = before.network.head.blocks["0"].bias.detach()
    now = result.state.parts["head.0"]["bias"]
    moved = now - was * (1 - ADAMW_LR * 0.1)
    assert moved.abs() == pytest.approx(torch.full((2,), ADAMW_LR), rel=1e-3)


def test_mas_refuses_adamw() -> None:
    with pytest.raises(InvalidSpecError, match="use sgd") as refused:
        validate(Spec(method="mas", options={"optimizer": "adamw"}))
    assert refused.value.pointer == "/options/optimizer"
