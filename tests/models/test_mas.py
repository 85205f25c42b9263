"""MAS: importance, the penalty, and what is held in place (invariants I24 to I31)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import models.importance as measuring
import models.methods as registry
from models.batches import Batch
from models.checkpoint import Checkpoint
from models.errors import InvalidSpecError
from models.importance import (
    global_importance,
    local_importance,
    proximal_step,
    shared_parameters,
    uniform_importance,
)
from models.learner import restore
from models.methods import validate
from models.methods.base import Phase
from models.methods.finetune import Finetune
from models.methods.mas import MAS, MASOptions
from models.methods.sgd import sgd_phase
from models.networks import Activations, Features, Network, build
from models.preprocess import Preprocess
from models.spec import Spec
from models.state import Tensors
from models.step import Step, StepResult

from .conftest import Chain, pictures

PREPROCESS = Preprocess(torch.full((3,), 0.5), torch.full((3,), 0.25))
FIRST = {0: pictures(0, 24), 1: pictures(1, 24)}
SECOND = {2: pictures(2, 24), 3: pictures(3, 24)}


def network(backbone: str = "convnet") -> Network:
    """A network with two heads, of 3 and 2 columns, whose batch norms are no identities."""
    made = build(backbone, 3)
    made.head.grow(0, 3, 3)
    made.head.grow(1, 2, 3)
    draws = torch.Generator().manual_seed(5)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 1.5, generator=draws)
            for tensor in (module.bias.data, module.running_mean):
                tensor.uniform_(-0.3, 0.3, generator=draws)
    return made.eval()


def images(count: int, size: int = 8) -> Tensor:
    draws = torch.Generator().manual_seed(11)
    return torch.randint(0, 256, (count, 3, size, size), generator=draws).to(torch.uint8)


def columns_of(task: int, count: int) -> Tensor:
    return (torch.tensor([0, 0, 0, 1, 1]) == task).expand(count, 5)


def measure(scope: str, of: Network, pictured: Tensor) -> Tensors:
    if scope == "local":
        return local_importance(of, PREPROCESS, pictured)
    return global_importance(of, PREPROCESS, pictured, columns_of(1, len(pictured)))


def assert_close(found: Tensors, expected: Tensors, rtol: float = 1e-4) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        bound = rtol * float(value.abs().max()) + 1e-12
        torch.testing.assert_close(found[name], value, rtol=rtol, atol=bound, msg=name)


def gradients(of: Network, pictured: Tensor, columns: slice) -> Tensors:
    """∂‖F‖²/∂θ of a batch by plain autograd, F being the logits of some columns."""
    shared = shared_parameters(of)
    energy = of(PREPROCESS(pictured)).logits[:, columns].square().sum()
    return dict(zip(shared, torch.autograd.grad(energy, list(shared.values())), strict=True))


# Importance from the whole network's output.


@pytest.mark.parametrize("backbone", ["convnet", "resnet20", "resnet18"])
def test_global_importance_is_the_mean_of_each_images_gradients(backbone: str) -> None:
    size = 8 if backbone == "convnet" else 32
    of, pictured = network(backbone), images(5, size)
    alone = [gradients(of, picture[None], slice(3, 5)) for picture in pictured]
    expected = {n: torch.stack([g[n].abs() for g in alone]).mean(0) for n in alone[0]}
    found = measure("global", of, pictured)
    assert_close(found, expected)
    assert all(bool((omega >= 0).all()) and bool(omega.any()) for omega in found.values())


def test_a_batchs_gradient_is_less(chain: Callable[..., Chain]) -> None:
    """Images of different classes pull a trained network's weights in different directions."""
    learner = chain("mas")
    of = restore(learner.spec, learner.learn(FIRST | SECOND).state).network
    pictured = torch.cat([*FIRST.values(), *SECOND.values()])
    everything = torch.ones(len(pictured), 4, dtype=torch.bool)
    found = global_importance(of, PREPROCESS, pictured, everything)
    for name, gradient in gradients(of, pictured, slice(0, 4)).items():
        bound = gradient.abs() / len(pictured)
        assert bool((bound <= found[name] * 1.001 + 1e-7).all())
        assert bound.sum() < 0.9 * found[name].sum()


@pytest.mark.parametrize("scope", ["global", "local"])
def test_neither_order_nor_batches_matter(monkeypatch: pytest.MonkeyPatch, scope: str) -> None:
    of, pictured = network(), images(13)
    expected = measure(scope, of, pictured)
    order = torch.randperm(13, generator=torch.Generator().manual_seed(0))
    assert_close(measure(scope, of, pictured[order]), expected)
    for size in (1, 5):
        monkeypatch.setattr(measuring, "BATCH", size)
        assert_close(measure(scope, of, pictured), expected)


def test_no_more_gradients_at_once_than_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = [torch.zeros(100), torch.zeros(25)]  # 500 bytes
    for room, size in ((2**25, 32), (5000, 10), (1999, 3), (10, 1)):
        monkeypatch.setattr(measuring, "CPU_GRADIENT_BYTES", room)
        assert measuring._batch_size(tensors) == size


def test_importance_grows_with_the_square_of_the_head() -> None:
    of, pictured = network(), images(6)
    before = measure("global", of, pictured)
    with torch.no_grad():
        for parameter in of.head.blocks["1"].parameters():
            parameter.mul_(3)
    assert_close(measure("global", of, pictured), {n: 9 * omega for n, omega in before.items()})


def test_other_heads_do_not_count() -> None:
    of, pictured = network(), images(6)
    before = measure("global", of, pictured)
    with torch.no_grad():
        of.head.blocks["0"].weight.mul_(3)
    assert_close(measure("global", of, pictured), before, rtol=1e-6)


@pytest.mark.parametrize("scope", ["global", "local"])
def test_measuring_changes_nothing(scope: str) -> None:
    of = network()
    before = {name: tensor.clone() for name, tensor in of.state_dict().items()}
    random = torch.get_rng_state()
    found = measure(scope, of.train(), images(6))
    assert torch.equal(torch.get_rng_state(), random)
    for name, tensor in of.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert all(p.grad is None and p.requires_grad for p in of.parameters())
    assert not any(omega.requires_grad for omega in found.values())
    assert not any(module._forward_hooks for module in of.modules())


def test_head_and_batch_norm_have_no_importance() -> None:
    of = network()
    expected = {f"convs.{place}.weight" for place in range(3)}
    for found in (measure("global", of, images(2)), measure("local", of, images(2))):
        assert found.keys() == expected
    uniform = uniform_importance(of)
    assert uniform.keys() == expected
    assert all(bool((omega == 1).all()) for omega in uniform.values())


# Importance layer by layer.


class Toy(nn.Module):
    """Layers of every kind that the rule covers, each with what follows it named by hand."""

    feature_dim = 4

    def __init__(self) -> None:
        super().__init__()
        self.plain = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.normed = nn.Conv2d(4, 8, 3, padding=2, dilation=2, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.grouped = nn.Conv2d(8, 6, (1, 3), padding="same", groups=2, padding_mode="circular")
        self.depthwise = nn.Conv2d(6, 6, 3, groups=6)
        self.linear = nn.Linear(6 * 4, 5)
        self.flat = nn.BatchNorm1d(5)
        self.last = nn.Linear(5, 4)
        self.followed = {self.normed: self.norm, self.linear: self.flat}

    def forward(self, pixels: Tensor) -> Features:
        hidden = functional.relu(self.plain(pixels), inplace=True)
        hidden = functional.relu(self.norm(self.normed(hidden)), inplace=True)
        hidden = functional.relu(self.depthwise(self.grouped(hidden)))
        hidden = functional.relu(self.flat(self.linear(hidden.flatten(1))))
        return Features(None, self.last(hidden))


def toy() -> Network:
    backbone = Toy()
    draws = torch.Generator().manual_seed(1)
    for name, tensor in backbone.state_dict().items():
        if tensor.is_floating_point():
            low = 0.5 if name.endswith("running_var") else -0.5
            tensor.uniform_(low, 1, generator=draws)
    return Network(backbone).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [toy, network, lambda: network("resnet20")])
def test_local_importance_is_each_layers_own_gradient(make: Callable[[], Network]) -> None:
    """|∂‖ReLU(BN(layer(x)))‖²/∂θ| by autograd, image by image."""
    of, pictured = make(), images(4, 8)
    if isinstance(of.backbone, Toy):
        norms: dict[nn.Module, nn.Module] = of.backbone.followed
    elif hasattr(of.backbone, "convs"):
        norms = dict(zip(of.backbone.convs, of.backbone.norms, strict=True))
    else:
        norms = {of.backbone.conv: of.backbone.bn}
        for block in of.backbone.blocks:
            norms |= {block.conv1: block.bn1, block.conv2: block.bn2}
    names = {module: name for name, module in of.backbone.named_modules()}
    expected = {n: torch.zeros_like(p) for n, p in shared_parameters(of).items()}

    def differentiate(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        for one in inputs[0].detach().split(1):
            with torch.enable_grad():
                response = functional.relu(norms.get(layer, nn.Identity())(layer.forward(one)))
                found = torch.autograd.grad(response.square().sum(), list(layer.parameters()))
            for (name, _), gradient in zip(layer.named_parameters(), found, strict=True):
                expected[f"{names[layer]}.{name}"] += gradient.abs() / len(pictured)

    hooks = [
        module.register_forward_hook(differentiate)
        for module in of.backbone.modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    of.backbone(PREPROCESS(pictured))
    for hook in hooks:
        hook.remove()
    with torch.inference_mode():  # a forward is all it takes
        assert_close(measure("local", of, pictured), expected)
    assert all(bool(omega.any()) for omega in expected.values())


def test_local_importance_is_hebbs_product() -> None:
    """For a linear layer: twice the mean of what comes in times what goes out."""

    class One(nn.Module):
        feature_dim = 3

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3 * 8 * 8, 3)

        def forward(self, pixels: Tensor) -> Features:
            return Features(None, functional.relu(self.layer(pixels.flatten(1))))

    of, pictured = Network(One()), images(7)  # type: ignore[arg-type]
    with torch.no_grad():
        into = pictured.flatten(1) / 255
        out = of.backbone(pictured / 255).pooled
    assert 0 < (out > 0).float().mean() < 1
    found = local_importance(of, lambda chunk: chunk / 255, pictured)
    expected = {
        "layer.weight": 2 * torch.einsum("no,ni->oi", out, into) / 7,
        "layer.bias": 2 * out.mean(0),
    }
    assert_close(found, expected)


@pytest.mark.parametrize("backbone", ["convnet", "resnet32", "resnet18", "densenet121", "vgg11"])
def test_local_takes_networks_of_convolutions(backbone: str) -> None:
    validate(Spec(method="mas", backbone=backbone, options={"scope": "local"}))


@pytest.mark.parametrize("backbone", ["vit_b_32", "convnext_tiny"])
def test_local_refuses_networks_with_other_weights(backbone: str) -> None:
    spec = Spec(method="mas", backbone=backbone, image_size=64, options={"scope": "local"})
    with pytest.raises(InvalidSpecError) as refused:
        validate(spec.model_copy(update={"image_size": 224}))
    assert refused.value.pointer == "/options/scope"
    validate(spec.model_copy(update={"image_size": 224, "options": {"scope": "global"}}))


# The penalty and the step that takes it.


def held() -> tuple[Tensors, Tensors, Tensors]:
    draws = torch.Generator().manual_seed(2)
    sets = [{"a": torch.randn(4, 3, generator=draws), "b": torch.randn(5, generator=draws)}]
    sets += [{n: torch.randn(t.shape, generator=draws) for n, t in sets[0].items()}]
    sets += [{n: torch.rand(t.shape, generator=draws) for n, t in sets[0].items()}]
    sets[2]["b"][0] = 0
    return sets[0], sets[1], sets[2]


def penalty(parameters: Tensors, anchor: Tensors, importance: Tensors, strength: float) -> Tensor:
    """Return λ Σ Ω (θ − θ*)², a scalar: θ are `parameters` and θ* the `anchor`."""
    parts = [
        (omega * (parameters[name] - anchor[name]).square()).sum()
        for name, omega in importance.items()
    ]
    return strength * torch.stack(parts).sum()


def test_the_penalty_and_its_gradient() -> None:
    parameters, anchor, omega = held()
    leaves = {name: tensor.requires_grad_() for name, tensor in parameters.items()}
    value = penalty(leaves, anchor, omega, 0.7)
    by_hand = sum(
        0.7 * float(o) * (float(p) - float(a)) ** 2
        for n in leaves
        for p, a, o in zip(
            leaves[n].detach().flatten(), anchor[n].flatten(), omega[n].flatten(), strict=True
        )
    )
    assert value.item() == pytest.approx(by_hand, rel=1e-5)
    found = dict(zip(leaves, torch.autograd.grad(value, list(leaves.values())), strict=True))
    assert_close(found, {n: 2 * 0.7 * omega[n] * (leaves[n] - anchor[n]).detach() for n in leaves})


def test_nothing_pulls_at_the_anchor() -> None:
    _, anchor, omega = held()
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in anchor.items()}
    value = penalty(leaves, anchor, omega, 5.0)
    assert value.item() == 0
    for gradient in torch.autograd.grad(value, list(leaves.values())):
        assert not gradient.any()
    proximal_step(leaves, anchor, omega, 5.0, 0.1)
    for name, tensor in leaves.items():
        assert torch.equal(tensor, anchor[name])


@pytest.mark.parametrize("strength", [0.3, 1.0, 50.0])
def test_the_step_is_proximal(strength: float) -> None:
    """It ends where the gradient of penalty + ‖· − θ‖²/2η is zero."""
    start, anchor, omega = held()
    end = {name: tensor.clone() for name, tensor in start.items()}
    proximal_step(end, anchor, omega, strength, 0.05)
    for tensor in end.values():
        tensor.requires_grad_()
    distance = sum((end[n] - start[n]).square().sum() for n in end) / (2 * 0.05)
    total = penalty(end, anchor, omega, strength) + distance
    for gradient in torch.autograd.grad(total, list(end.values())):
        assert float(gradient.abs().max()) < 1e-3
    assert not torch.equal(end["a"], start["a"])


def test_it_is_stable_where_an_explicit_step_diverges() -> None:
    start, anchor, omega = held()
    there = {name: tensor.clone() for name, tensor in start.items()}
    for _ in range(200):
        proximal_step(there, anchor, omega, 1e9, 0.1)
    for name, tensor in there.items():
        moved = omega[name] > 0
        torch.testing.assert_close(tensor[moved], anchor[name][moved])
        assert torch.equal(tensor[~moved], start[name][~moved])


# The method.


def backbone_of(result: StepResult) -> dict[str, Tensor]:
    return dict(result.state.parts["backbone"])


def assert_equal(found: Tensors, expected: Tensors) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


class OwnHeads(Finetune):
    """Finetuning as MAS without a penalty would do it, written out on its own."""

    name = "own_heads"

    def phases(self, step: Step) -> Sequence[Phase]:
        if not step.known:
            return super().phases(step)
        convs = [conv.weight for conv in self.network.backbone.convs]
        head = self.network.head.blocks[str(step.tasks[-1])]
        phase = sgd_phase(self.options, step, [*convs, *head.parameters()])
        return [replace(phase, frozen=list(self.network.backbone.norms))]

    def loss(self, step: Step, batch: Batch, outputs: Activations) -> Tensor:
        if not step.known:
            return super().loss(step, batch, outputs)
        own = outputs.logits[:, step.known :]
        return functional.cross_entropy(own, batch.columns - step.known)


def test_strength_zero_is_finetuning(
    chain: Callable[..., Chain], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry._registry(), "own_heads", OwnHeads)
    loose, plain = chain("mas", strength=0), chain("own_heads")
    assert_equal(backbone_of(loose.learn(FIRST)), backbone_of(chain("finetune").learn(FIRST)))
    plain.learn(FIRST)
    one, other = loose.learn(SECOND), plain.learn(SECOND)
    assert_close(backbone_of(one), backbone_of(other), rtol=1e-5)
    assert_close(one.state.parts["head.1"], other.state.parts["head.1"], rtol=1e-5)
    assert any("nothing will hold" in warning for warning in one.warnings)


def test_without_end_strength_freezes(chain: Callable[..., Chain]) -> None:
    learner = chain("mas", strength=1e9, epochs=6)
    first, second = learner.learn(FIRST), learner.learn(SECOND)
    loose = chain("mas", strength=0, epochs=6)
    loose.learn(FIRST)
    free = backbone_of(loose.learn(SECOND))
    for name, omega in first.state.parts["importance"].items():
        before, after = backbone_of(first)[name], backbone_of(second)[name]
        counts = omega > 1e-4 * omega.max()
        assert counts.float().mean() > 0.9
        assert float((after - before)[counts].abs().max()) < 1e-4
        assert float((free[name] - before).abs().max()) > 1e-2
    # The new head is free to learn.
    assert second.metrics["task_aware_matrix"][1][1] > 0.5
    assert not any("nothing will hold" in warning for warning in second.warnings)


@pytest.mark.parametrize("scope", ["global", "local", "uniform"])
def test_batch_norm_and_old_heads_stay(chain: Callable[..., Chain], scope: str) -> None:
    learner = chain("mas", scope=scope)
    first, second = learner.learn(FIRST), learner.learn(SECOND)
    assert_equal(second.state.parts["head.0"], first.state.parts["head.0"])
    for name, tensor in backbone_of(first).items():
        assert torch.equal(tensor, backbone_of(second)[name]) == ("norms" in name), name
    assert second.kept == (0, 0, 0, 0)


@pytest.mark.parametrize("scope", ["global", "local", "uniform"])
def test_importance_adds_up(chain: Callable[..., Chain], scope: str) -> None:
    """Ω after two tasks is the sum of each task's own, on its images and with its head."""
    learner = chain("mas", scope=scope)
    total: Tensors = {}
    for new, own in ((FIRST, [0, 1]), (SECOND, [2, 3])):
        result = learner.learn(new)
        method = restore(learner.spec, result.state)
        shown = torch.cat(list(new.values()))
        wanted = torch.zeros(len(learner.tasks), dtype=torch.bool)
        wanted[own] = True
        if scope == "global":
            columns = wanted.expand(len(shown), -1)
            found = global_importance(method.network, method.preprocess, shown, columns)
        elif scope == "local":
            found = local_importance(method.network, method.preprocess, shown)
        else:
            found = uniform_importance(method.network)
        total = {name: total.get(name, 0) + omega for name, omega in found.items()}
        assert_close(dict(result.state.parts["importance"]), total)
        flat = torch.cat([omega.flatten() for omega in total.values()])
        report = result.metrics["report"]["importance"]
        assert report["mean"] == pytest.approx(float(flat.mean()), rel=1e-3)
        assert report["max"] == pytest.approx(float(flat.max()), rel=1e-3)


class Shown(MAS):
    """Keeps the step that it was given."""

    seen: Step

    def end(self, step: Step) -> None:
        type(self).seen = step
        super().end(step)


def steps_end(
    chain: Callable[..., Chain], monkeypatch: pytest.MonkeyPatch, *news: Any, **options: Any
) -> tuple[Step, MAS]:
    """Learn step after step; return the last one's step, and the method after it."""
    monkeypatch.setitem(registry._registry(), "mas", Shown)
    learner = chain("mas", **options)
    for new in news:
        result = learner.learn(new)
    method = restore(learner.spec, result.state)
    assert isinstance(method, MAS)
    return Shown.seen, method


def test_labels_do_not_matter(chain: Callable[..., Chain], monkeypatch: pytest.MonkeyPatch) -> None:
    step, method = steps_end(chain, monkeypatch, FIRST, SECOND)
    expected = method._measure(step)
    order = torch.randperm(len(step.data), generator=torch.Generator().manual_seed(1))
    step.data = replace(step.data, columns=step.data.columns[order])
    assert_equal(method._measure(step), expected)


def test_it_is_measured_on_a_sample(
    chain: Callable[..., Chain], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Tensor] = []

    def look(of: Network, preprocess: Any, pictured: Tensor, *rest: Any) -> Tensors:
        shown.append(pictured)
        return global_importance(of, preprocess, pictured, *rest)

    monkeypatch.setattr("models.methods.mas.global_importance", look)
    step, method = steps_end(chain, monkeypatch, FIRST, max_samples=10)
    method._measure(step)
    assert torch.equal(shown[0], shown[1])  # drawn from the seed
    assert len(shown[0].flatten(1).unique(dim=0)) == 10
    assert not torch.equal(shown[0], step.data.images[:10])


def test_an_image_of_an_old_class_counts_with_its_own_head(
    chain: Callable[..., Chain], monkeypatch: pytest.MonkeyPatch
) -> None:
    more = {1: pictures(1, 8, seed=3), 2: pictures(2, 24), 3: pictures(3, 24)}
    step, method = steps_end(chain, monkeypatch, FIRST, more)
    parts = []
    for wanted, own in (
        (step.data.columns == 1, [1, 1, 0, 0]),
        (step.data.columns > 1, [0, 0, 1, 1]),
    ):
        shown = step.data.images[wanted]
        columns = torch.tensor(own, dtype=torch.bool).expand(len(shown), -1)
        found = global_importance(method.network, method.preprocess, shown, columns)
        parts.append({name: omega * len(shown) / 56 for name, omega in found.items()})
    assert_close(method._measure(step), {n: parts[0][n] + parts[1][n] for n in parts[0]})


def test_both_heads_learn_where_both_get_images(chain: Callable[..., Chain]) -> None:
    learner = chain("mas")
    first = learner.learn(FIRST)
    second = learner.learn({1: pictures(1, 8, seed=3), **SECOND})
    before, after = (result.state.parts["head.0"]["weight"] for result in (first, second))
    assert not torch.equal(before, after)


def test_the_pull_goes_by_the_current_rate(chain: Callable[..., Chain]) -> None:
    """A milestone's tenth of the rate is a tenth of the pull."""
    learner = chain("mas")
    learner.learn(FIRST)
    method = restore(learner.spec, learner.results[0].state)
    assert isinstance(method, MAS)
    _, step = learner.begin(SECOND)
    for rate in (0.5, 0.05):
        method.anchor = {n: torch.zeros_like(p) for n, p in method.shared.items()}
        method.importance = {n: torch.ones_like(p) for n, p in method.shared.items()}
        before = {n: p.detach().clone() for n, p in method.shared.items()}
        phase = sgd_phase(method.options, step, method.shared.values())
        phase.optimizer.param_groups[0]["lr"] = rate
        method.after_optimizer_step(None, phase)  # type: ignore[arg-type]
        for name, parameter in method.shared.items():
            # The default momentum of 0.9 makes ten times the rate of it.
            torch.testing.assert_close(parameter.detach(), before[name] / (1 + 20 * rate))


def test_training_with_momentum_ends_at_the_minimum_of_the_penalised_loss() -> None:
    """The loss (θ − 2)² with the penalty λΩθ² has its minimum at 2/(1 + λΩ)."""
    theta = torch.zeros(1, requires_grad=True)
    step: Any = None
    method = MAS.__new__(MAS)
    method.options = MASOptions(strength=3.0, momentum=0.9)
    method.shared, method.anchor = {"θ": theta}, {"θ": torch.zeros(1)}  # type: ignore[dict-item]
    method.importance = {"θ": torch.tensor([0.5])}
    optimizer = torch.optim.SGD([theta], lr=1e-3, momentum=0.9)
    phase: Any = SimpleNamespace(optimizer=optimizer)
    for _ in range(3000):
        optimizer.zero_grad()
        (theta - 2).square().sum().backward()
        optimizer.step()
        method.after_optimizer_step(step, phase)
    assert float(theta.detach()) == pytest.approx(2 / (1 + 3.0 * 0.5), rel=1e-2)


@pytest.mark.parametrize("scope", ["global", "local"])
def test_old_answers_move_less(chain: Callable[..., Chain], scope: str) -> None:
    shown = torch.cat(list(FIRST.values()))

    def drift(strength: float) -> float:
        learner = chain("mas", strength=strength, scope=scope, epochs=8)
        logits = []
        for new in (FIRST, SECOND):
            method = restore(learner.spec, learner.learn(new).state)
            with torch.inference_mode():
                logits.append(method.network(method.preprocess(shown)).logits[:, :2])
        return float((logits[1] - logits[0]).square().mean().sqrt())

    loose, firm = drift(0), drift(10)
    assert firm < 0.3 * loose


def test_resuming_goes_on_from_the_same_anchor(chain: Callable[..., Chain]) -> None:
    whole, broken = (chain("mas", epochs=4, strength=0.1) for _ in range(2))
    whole.learn(FIRST)
    broken.learn(FIRST)
    saved: list[Checkpoint] = []
    expected = whole.learn(SECOND, save=saved.append)
    found = broken.learn(SECOND, resume=saved[1])
    for part, tensors in expected.state.parts.items():
        assert_equal(found.state.parts[part], tensors)
    assert found.metrics == expected.metrics
