"""LwM: attention distillation against loops, autograd and bounds (invariants I18 to I23)."""

import copy
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models import networks
from models.attention import class_activation_map, grad_cam
from models.batches import Batch
from models.checkpoint import Checkpoint
from models.errors import InvalidSpecError
from models.methods import validate
from models.methods.lwm import LwM, LwMOptions, attention_loss
from models.networks import Activations, Features, Network
from models.optimizing import in_float32
from models.spec import Spec

from .conftest import Chain, pictures, task_images
from .test_trainer import assert_identical

OLD, CLASSES, ROWS = 3, 5, 6
COLUMNS = torch.tensor([3, 4, 3, 4, 3, 4])
DRAWS = torch.Generator().manual_seed(0)
STUDENT = torch.rand(ROWS, 4, 3, generator=DRAWS, dtype=torch.double)
TEACHER = torch.rand(ROWS, 4, 3, generator=DRAWS, dtype=torch.double)


class Situation:
    """A student with old and new columns, the teacher it started from, and a batch of images."""

    def __init__(self, backbone: str = "convnet", tasks: tuple[int, ...] = (0, 0, 0, 1, 1)) -> None:
        self.network = networks.build(backbone, 1).double()
        self.network.head.grow(0, OLD, 1)
        self.network.double()
        self.teacher = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.tasks = tasks
        draws = torch.Generator().manual_seed(2)
        self.images = torch.randn(ROWS, 3, 8, 8, generator=draws, dtype=torch.double)

    def method(self, **options: Any) -> LwM:
        network = copy.deepcopy(self.network)
        method = LwM(LwMOptions(**options), network, SimpleNamespace())  # type: ignore[arg-type]
        method.begin(self.step)
        network.double()
        # Some way from the teacher, so that there is something to hold.
        with torch.no_grad():
            draws = torch.Generator().manual_seed(3)
            for parameter in network.parameters():
                noise = torch.randn(parameter.shape, generator=draws, dtype=torch.double)
                parameter.add_(0.05 * noise)
        return method

    @property
    def step(self) -> Any:
        task_of = torch.tensor(self.tasks)
        return SimpleNamespace(
            known=OLD, tasks=self.tasks, task_of=task_of, seed=1, network=self.network
        )

    def ask_teacher(self, images: Tensor) -> Activations:
        with torch.set_grad_enabled(images.requires_grad):
            outputs: Activations = self.teacher(images)
        return outputs

    def loss(self, method: LwM) -> Tensor:
        fresh = torch.ones(ROWS, dtype=torch.bool)
        batch = Batch(self.images, COLUMNS, fresh, self.ask_teacher)
        return method.loss(self.step, batch, method.network(self.images))

    def gradients(self, method: LwM) -> dict[str, Tensor]:
        self.loss(method).backward()
        found = {name: p.grad for name, p in method.network.named_parameters()}
        return {name: torch.zeros(0) if grad is None else grad for name, grad in found.items()}


def test_attention_loss_against_a_loop() -> None:
    expected = 0.0
    for student, teacher in zip(STUDENT.tolist(), TEACHER.tolist(), strict=True):
        flat = [[value for row in each for value in row] for each in (student, teacher)]
        norms = [sum(value**2 for value in each) ** 0.5 for each in flat]
        expected += sum(abs(s / norms[0] - t / norms[1]) for s, t in zip(*flat, strict=True)) / ROWS
    assert float(attention_loss(STUDENT, TEACHER)) == pytest.approx(expected)


def test_attention_loss_is_zero_at_equality_and_blind_to_scale() -> None:
    assert float(attention_loss(STUDENT, STUDENT)) == 0
    scales = torch.rand(ROWS, 1, 1, dtype=torch.double) + 0.5
    scaled = attention_loss(STUDENT * scales, 7 * TEACHER)
    torch.testing.assert_close(scaled, attention_loss(STUDENT, TEACHER))


def test_attention_loss_reaches_its_bound_where_maps_are_disjoint() -> None:
    left = torch.zeros(1, 8, 8).double()
    left[:, :, :4] = 3.0
    bound = (2 * 64) ** 0.5
    assert float(attention_loss(left, left.flip(2))) == pytest.approx(bound)
    for _ in range(20):
        maps = torch.rand(2, 1, 8, 8, generator=DRAWS, dtype=torch.double) ** 6
        assert 0 <= float(attention_loss(*maps)) <= bound


def test_a_teacher_that_looks_nowhere_adds_nothing() -> None:
    nowhere = TEACHER.clone()
    nowhere[2:] = 0
    student = STUDENT.clone().requires_grad_()
    loss = attention_loss(student, nowhere)
    torch.testing.assert_close(loss, attention_loss(STUDENT[:2], TEACHER[:2]) * 2 / ROWS)
    loss.backward()
    assert student.grad is not None
    assert not student.grad[2:].any()
    assert student.grad[:2].any()


def test_a_student_that_looks_nowhere_is_finite() -> None:
    scores = torch.full((2, 4, 3), -1.0).double().requires_grad_()
    loss = attention_loss(scores.relu(), TEACHER[:2])
    loss.backward()
    assert float(loss.detach()) > 0
    assert scores.grad is not None
    assert not scores.grad.any()


def test_the_map_is_a_weighted_sum_over_channels() -> None:
    feature_map = torch.randn(2, 3, 2, 2, generator=DRAWS, dtype=torch.double)
    weight = torch.randn(2, 3, generator=DRAWS, dtype=torch.double)
    found = class_activation_map(feature_map, weight)
    for image in range(2):
        expected = sum(float(weight[image, k]) * feature_map[image, k] for k in range(3))
        torch.testing.assert_close(found[image], expected.clamp_min(0))


@pytest.mark.parametrize("backbone", ["convnet", "resnet20"])
@pytest.mark.parametrize("attention_class", ["student_top_old", "teacher_top"])
def test_activation_maps_equal_differentiated_grad_cam(backbone: str, attention_class: str) -> None:
    """The same loss and the same gradient of every parameter, though one is a second derivative."""
    situation = Situation(backbone)
    ways = []
    for pooled in (True, False):
        method = situation.method(gamma=5.0, attention_class=attention_class)
        method.network.backbone.mean_pooled = pooled
        ways.append((situation.loss(method).detach(), situation.gradients(method)))
    (one, direct), (other, twice) = ways
    torch.testing.assert_close(one, other, rtol=0, atol=1e-9)
    for name, gradient in direct.items():
        torch.testing.assert_close(gradient, twice[name], rtol=0, atol=1e-9, msg=name)


def test_attention_has_a_gradient() -> None:
    """What attention adds is in every weight before the map and in the old rows of the head."""
    situation = Situation()
    without = situation.gradients(situation.method(gamma=0.0))
    with_it = situation.gradients(situation.method(gamma=1.0))
    for name in ("backbone.convs.0.weight", "backbone.norms.2.weight", "head.blocks.0.weight"):
        assert float((with_it[name] - without[name]).abs().max()) > 1e-4, name
    for name in ("head.blocks.0.bias", "head.blocks.1.weight", "head.blocks.1.bias"):
        assert torch.equal(with_it[name], without[name]), name


@pytest.mark.parametrize("pooled", [True, False])
def test_the_teacher_gets_no_gradient(pooled: bool) -> None:
    situation = Situation()
    before = copy.deepcopy(situation.teacher.state_dict())
    method = situation.method()
    method.network.backbone.mean_pooled = pooled
    situation.gradients(method)
    assert situation.images.grad is None
    assert all(parameter.grad is None for parameter in situation.teacher.parameters())
    after = situation.teacher.state_dict()
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())


def test_no_attention_loss_where_the_student_is_the_teacher() -> None:
    situation = Situation()
    method = situation.method(gamma=1.0)
    method.network.backbone.load_state_dict(situation.network.backbone.state_dict())
    method.network.head.blocks["0"].load_state_dict(situation.network.head.blocks["0"].state_dict())
    outputs = method.network.eval()(situation.images)
    maps = method._maps(situation.step, outputs, situation.ask_teacher(situation.images))
    # The products are the same, their order of summation is not.
    assert float(attention_loss(*maps).detach()) < 1e-12


@pytest.mark.parametrize("attention_class", ["student_top_old", "teacher_top"])
def test_both_networks_look_for_the_same_old_class(attention_class: str) -> None:
    situation = Situation()
    method = situation.method(attention_class=attention_class)
    outputs, teacher = method.network(situation.images), situation.teacher(situation.images)
    student_map, teacher_map = method._maps(situation.step, outputs, teacher)
    judge = outputs if attention_class == "student_top_old" else teacher
    for image in range(ROWS):
        top = max(range(OLD), key=lambda column: float(judge.logits[image, column].detach()))
        for found, network, of in (
            (student_map, method.network, outputs),
            (teacher_map, situation.teacher, teacher),
        ):
            row = network.head.blocks["0"].weight[top]
            expected = torch.einsum("k,khw->hw", row, of.feature_map[image]).relu()
            torch.testing.assert_close(found[image], expected)
    assert not teacher_map.requires_grad


@pytest.mark.parametrize("way", ["direct", "autograd"])
def test_a_map_does_not_depend_on_the_rest_of_the_batch(way: str) -> None:
    situation = Situation()

    def maps(images: Tensor) -> Tensor:
        feature_map, _, logits = situation.network.eval()(images)
        top = logits.argmax(dim=1)
        if way == "direct":
            return class_activation_map(feature_map, situation.network.head.weight[top])
        return grad_cam(feature_map, logits.gather(1, top[:, None]).squeeze(1))

    whole = maps(situation.images)
    alone = torch.cat([maps(image[None]) for image in situation.images])
    torch.testing.assert_close(whole, alone)


@pytest.mark.parametrize("heads", ["single", "per_task"])
@pytest.mark.parametrize("distill", ["bce", "softmax"])
def test_the_other_parts_against_their_formulas(heads: str, distill: str) -> None:
    tasks = (0, 1, 1, 2, 2)
    situation = Situation(tasks=tasks)
    method = situation.method(beta=2.5, gamma=0.0, heads=heads, distill=distill, temperature=3.0)
    logits = method.network(situation.images).logits.detach()
    target = situation.teacher(situation.images).logits
    rivals = logits if heads == "single" else logits[:, 3:]
    shift = 0 if heads == "single" else 3
    expected = functional.cross_entropy(rivals, COLUMNS - shift)
    student, groups = logits[:, :OLD], [[0, 1, 2]] if heads == "single" else [[0], [1, 2]]
    if distill == "bce":
        p, q = student.sigmoid(), target.sigmoid()
        expected = expected - 2.5 * (q * p.log() + (1 - q) * (1 - p).log()).sum() / ROWS
    else:
        for group in groups:
            p, q = ((each[:, group] / 3).softmax(dim=1) for each in (student, target))
            expected = expected - 2.5 * (q * p.log()).sum() / ROWS
    torch.testing.assert_close(situation.loss(method).detach(), expected)


def parts(learner: Chain, *tasks: int) -> dict[str, Tensor]:
    for task in tasks:
        learner.learn(task_images(task))
    return {
        f"{part}/{name}": tensor
        for part, group in learner.results[-1].state.parts.items()
        for name, tensor in group.items()
    }


@pytest.mark.parametrize(
    ("options", "twin", "twins"),
    [
        ({"beta": 0, "gamma": 0, "heads": "single"}, "finetune", {}),
        ({"beta": 0, "gamma": 0, "heads": "per_task"}, "lwf", {"weight": 0, "warm_up": 0}),
        ({"gamma": 0, "distill": "softmax", "heads": "per_task"}, "lwf", {"warm_up": 0}),
    ],
)
def test_without_its_parts_it_is_another_method(
    chain: Callable[..., Chain], options: dict[str, Any], twin: str, twins: dict[str, Any]
) -> None:
    one, other = parts(chain("lwm", **options), 0, 1, 2), parts(chain(twin, **twins), 0, 1, 2)
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name
    changed = parts(chain("lwm", **{**options, "gamma": 1}), 0, 1, 2)
    assert not torch.equal(changed["backbone/convs.0.weight"], one["backbone/convs.0.weight"])


def test_resuming(chain: Callable[..., Chain]) -> None:
    whole, broken = chain("lwm"), chain("lwm")
    whole.learn(task_images(0))
    broken.learn(task_images(0))
    saved: list[Checkpoint] = []
    expected = whole.learn(task_images(1), save=saved.append)
    assert_identical(broken.learn(task_images(1), resume=saved[0]), expected)


def test_extending_a_class(chain: Callable[..., Chain]) -> None:
    learner = chain("lwm")
    learner.learn(task_images(0))
    result = learner.learn({0: pictures(0, 20, seed=4)})
    assert result.state.tasks == (0, 0)
    assert result.metrics["accuracy"] is not None


def test_a_backbone_with_a_hidden_layer_behind_the_map(chain: Callable[..., Chain]) -> None:
    """From the trainer's forward and teacher on, in whatever precision the machine trains."""
    ends = []
    for gamma in (0.0, 1.0):
        learner = chain("lwm", gamma=gamma, epochs=1)
        learner.spec = learner.spec.model_copy(update={"backbone": "mobilenet_v3_small"})
        method, _ = learner.begin(task_images(0))
        assert not method.network.backbone.mean_pooled
        for task in (0, 1):  # a map of 1×1 would have nowhere to look
            images = {column: one.repeat(1, 1, 8, 8) for column, one in task_images(task).items()}
            learner.learn(images)
        ends.append(learner.results[-1].state.parts["backbone"]["body.features.0.0.weight"])
    assert bool(ends[1].isfinite().all())
    assert not torch.equal(*ends)


class Behind(nn.Module):
    """A backbone with a layer between pooling and features, under bf16."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.hidden = nn.Conv2d(3, 8, 3), nn.Linear(8, 4)

    def forward(self, images: Tensor) -> Features:
        feature_map = self.conv(images)
        return Features(feature_map, self.hidden(feature_map.mean(dim=(2, 3))).tanh())


def test_the_map_can_be_differentiated_by_in_bf16() -> None:
    torch.manual_seed(0)
    backbone = Behind()
    backbone.feature_dim = 4  # type: ignore[assignment]
    network = Network(backbone)  # type: ignore[arg-type]
    network.head.grow(0, 3, 0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = in_float32(network(torch.randn(4, 3, 8, 8)))
    assert outputs.feature_map is not None
    assert outputs.feature_map.dtype == torch.bfloat16
    found = grad_cam(outputs.feature_map, outputs.logits.amax(dim=1), create_graph=True)
    attention_loss(found, torch.rand(4, 6, 6)).backward()
    assert found.dtype == torch.float32
    for parameter in (
        backbone.conv.weight,
        backbone.hidden.weight,
        network.head.blocks["0"].weight,
    ):
        assert parameter.grad is not None
        assert bool(parameter.grad.isfinite().all())
        assert parameter.grad.any()


def test_backbones_without_a_feature_map_are_refused() -> None:
    with pytest.raises(InvalidSpecError) as refused:
        validate(Spec(method="lwm", backbone="vit_b_32", image_size=224))
    assert refused.value.pointer == "/backbone"
    assert validate(Spec(method="lwf", backbone="vit_b_32", image_size=224)).method == "lwf"
    assert (
        validate(Spec(method="lwm", backbone="squeezenet1_1", image_size=64)).options["beta"] == 1
    )


def test_defaults() -> None:
    options = LwMOptions()
    assert (options.beta, options.gamma, options.temperature) == (1.0, 1.0, 2.0)
    assert (options.distill, options.attention_class) == ("bce", "student_top_old")
