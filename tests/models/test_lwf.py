"""LwF: distillation by task, the warm-up, and the head seen task by task (I17, I18, I50)."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from models.checkpoint import Checkpoint
from models.classify import restrict
from models.methods.distillation import (
    sigmoid_cross_entropy,
    soft_cross_entropy,
    soft_cross_entropy_by_task,
)
from models.methods.heads import lone_class_warnings, task_columns, within_task
from models.methods.lwf import LwF, LwFOptions
from models.optimizing import gradients_of
from models.serving import load_servable
from models.trainer import Trainer

from .conftest import Chain, pictures, task_images
from .test_trainer import assert_identical

TASKS = (0, 0, 0, 1, 1, 2)
TASK_OF = torch.tensor(TASKS)
DRAWS = torch.Generator().manual_seed(0)
STUDENT = torch.randn(7, 6, generator=DRAWS, dtype=torch.double)
TEACHER = torch.randn(7, 6, generator=DRAWS, dtype=torch.double)


def gradient(loss: Callable[[Tensor], Tensor], at: Tensor = STUDENT) -> Tensor:
    student = at.clone().requires_grad_()
    (found,) = torch.autograd.grad(loss(student), student)
    return found


def test_within_a_task_the_softmax_is_over_its_columns_alone() -> None:
    columns = torch.tensor([0, 3, 4, 5, 2, 1, 3])
    masked = within_task(STUDENT, columns, TASK_OF)
    for row, column in enumerate(columns.tolist()):
        own = [place for place, task in enumerate(TASKS) if task == TASKS[column]]
        expected = torch.zeros(6).double()
        expected[own] = STUDENT[row, own].softmax(dim=0)
        torch.testing.assert_close(masked[row].softmax(dim=0), expected)
    slopes = gradient(
        lambda logits: functional.cross_entropy(within_task(logits, columns, TASK_OF), columns)
    )
    rivals = TASK_OF[None] == TASK_OF[columns][:, None]
    assert not slopes[~rivals].any()
    # A lone class (column 5) has nothing to learn; all others have.
    assert torch.equal(slopes.abs().sum(dim=1) > 0, columns != 5)


@pytest.mark.parametrize("kind", [torch.float32, torch.double])
def test_masked_logits_are_finite_in_log_space(kind: torch.dtype) -> None:
    columns = torch.tensor([0, 3, 4, 5, 2, 1, 3])
    one, other = (within_task(each.to(kind), columns, TASK_OF) for each in (STUDENT, TEACHER))
    divergence = functional.kl_div(
        one.log_softmax(dim=1), other.log_softmax(dim=1), log_target=True, reduction="batchmean"
    )
    assert bool(divergence.isfinite())
    assert bool(functional.cross_entropy(one, other.softmax(dim=1)).isfinite())


def test_columns_of_a_task() -> None:
    assert [task_columns(TASKS, task) for task in (0, 1, 2)] == [[0, 1, 2], [3, 4], [5]]


def test_distillation_by_task_against_its_formula() -> None:
    """The gradient is (student − teacher)/(T·B) in softened scores, without T²."""
    temperature, expected, slopes = 3.0, torch.zeros(()).double(), torch.zeros(7, 6).double()
    for columns in ([0, 1, 2], [3, 4], [5]):
        for row in range(7):
            soft = [(logits[row, columns] / temperature).exp() for logits in (STUDENT, TEACHER)]
            student, teacher = (each / each.sum() for each in soft)
            expected -= (teacher * student.log()).sum() / 7
            slopes[row, columns] = (student - teacher) / temperature / 7

    def loss(student: Tensor) -> Tensor:
        return soft_cross_entropy_by_task(student, TEACHER, TASKS, temperature)

    torch.testing.assert_close(loss(STUDENT), expected)
    torch.testing.assert_close(gradient(loss), slopes)
    # One softmax over all old classes is another loss.
    single = gradient(lambda student: soft_cross_entropy(student, TEACHER, temperature))
    assert float((gradient(loss) - single).abs().max()) > 1e-3


def test_sigmoid_distillation_against_its_formula() -> None:
    student, teacher = STUDENT.sigmoid(), TEACHER.sigmoid()
    expected = -(teacher * student.log() + (1 - teacher) * (1 - student).log()).sum() / 7
    torch.testing.assert_close(sigmoid_cross_entropy(STUDENT, TEACHER), expected)
    slopes = gradient(lambda logits: sigmoid_cross_entropy(logits, TEACHER))
    torch.testing.assert_close(slopes, (student - teacher) / 7)


@pytest.mark.parametrize(
    "loss",
    [
        lambda student: soft_cross_entropy_by_task(student, STUDENT, TASKS, 2.0),
        lambda student: sigmoid_cross_entropy(student, STUDENT),
    ],
)
def test_no_gradient_where_student_equals_teacher(loss: Callable[[Tensor], Tensor]) -> None:
    assert float(gradient(loss).abs().max()) < 1e-12
    assert float(gradient(loss, STUDENT + STUDENT.square()).abs().max()) > 1e-3


def test_the_loss_is_both_parts(chain: Callable[..., Chain]) -> None:
    learner = chain("lwf", temperature=3.0, weight=2.5)
    learner.learn(task_images(0))
    method, step = learner.begin(task_images(1))
    logits, teacher = torch.randn(5, 4), torch.randn(5, 2)
    columns = torch.tensor([2, 3, 3, 2, 0])  # the last one extends an old class
    batch = SimpleNamespace(columns=columns, teacher=SimpleNamespace(logits=teacher))
    loss = method.loss(step, batch, SimpleNamespace(logits=logits))  # type: ignore[arg-type]
    rows = [logits[row, 2:] for row in range(4)] + [logits[4, :2]]
    targets = [0, 1, 1, 0, 0]
    hard = sum(
        functional.cross_entropy(row[None], torch.tensor([target]))
        for row, target in zip(rows, targets, strict=True)
    )
    soft = functional.cross_entropy(logits[:, :2] / 3, (teacher / 3).softmax(dim=1))
    torch.testing.assert_close(loss, hard / 5 + 2.5 * soft)


def test_the_warm_up_moves_the_new_head_alone(chain: Callable[..., Chain]) -> None:
    learner = chain("lwf", epochs=2, warm_up=3)
    before = learner.learn(task_images(0)).state.parts
    saved: list[Checkpoint] = []
    learner.learn(task_images(1), save=saved.append)
    assert [(each.phase, each.epoch) for each in saved] == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2)]
    for part in ("backbone", "head.0"):  # batch norm's statistics among them
        for name, tensor in saved[2].parts[part].items():
            assert torch.equal(tensor, before[part][name]), name
    warmed = [each.parts["head.1"]["weight"] for each in saved[:3]]
    assert not torch.equal(warmed[0], warmed[2])
    for part, name in (("backbone", "convs.0.weight"), ("head.0", "weight"), ("head.1", "weight")):
        assert not torch.equal(saved[4].parts[part][name], saved[2].parts[part][name])


def phases(learner: Chain, new: dict[int, Tensor], weights: str | None = None) -> list[int]:
    method, step = learner.begin(new)
    step.spec = step.spec.model_copy(update={"weights": weights})
    return [phase.epochs for phase in method.phases(step)]


def test_there_is_a_warm_up_only_where_there_is_something_to_protect(
    chain: Callable[..., Chain],
) -> None:
    learner = chain("lwf", epochs=30)
    assert phases(learner, task_images(0)) == [30]
    assert phases(learner, task_images(0), weights="DEFAULT") == [3, 30]
    assert phases(chain("lwf", epochs=4), task_images(0), weights="DEFAULT") == [1, 4]
    assert phases(chain("lwf", warm_up=0), task_images(0), weights="DEFAULT") == [2]
    learner = chain("lwf")
    learner.learn(task_images(0))
    assert phases(learner, task_images(1)) == [1, 2]
    # More images of known classes bring no new head.
    assert phases(learner, {0: pictures(0, 20, seed=4)}) == [2]


def test_gradients_are_taken_of_what_a_phase_trains(chain: Callable[..., Chain]) -> None:
    learner = chain("lwf")
    learner.learn(task_images(0))
    method, step = learner.begin(task_images(1))
    parameters = dict(method.network.named_parameters())
    parameters["backbone.convs.0.weight"].requires_grad_(False)
    warm_up, _ = method.phases(step)
    with gradients_of(warm_up, method.network):
        asked = {name for name, parameter in parameters.items() if parameter.requires_grad}
    assert asked == {"head.blocks.1.weight", "head.blocks.1.bias"}
    spared = {name for name, parameter in parameters.items() if not parameter.requires_grad}
    assert spared == {"backbone.convs.0.weight"}


@pytest.mark.parametrize("at", [0, 1, 2])
def test_resuming_in_either_phase(chain: Callable[..., Chain], at: int) -> None:
    whole, broken = (chain("lwf", epochs=2, warm_up=2) for _ in range(2))
    whole.learn(task_images(0))
    broken.learn(task_images(0))
    saved: list[Checkpoint] = []
    expected = whole.learn(task_images(1), save=saved.append)
    assert_identical(broken.learn(task_images(1), resume=saved[at]), expected)


def test_the_teacher_does_not_move(
    chain: Callable[..., Chain], monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = chain("lwf")
    before = learner.learn(task_images(0)).state.parts
    seen: list[Trainer] = []
    run = Trainer.run
    monkeypatch.setattr(
        Trainer, "run", lambda self, *args: (seen.append(self), run(self, *args))[1]
    )
    learner.learn(task_images(1))
    teacher = seen[0].teacher
    assert teacher is not None
    assert not teacher.training
    assert all(parameter.grad is None for parameter in teacher.parameters())
    for name, tensor in teacher.backbone.state_dict().items():
        assert torch.equal(tensor, before["backbone"][name]), name


def test_distillation_holds_the_old_head(chain: Callable[..., Chain]) -> None:
    def drift(weight: float) -> float:
        """How far the old head's answers on the new images move while these are learnt."""
        learner = chain("lwf", epochs=20, weight=weight)
        learner.learn(task_images(0))
        learner.learn(task_images(1))
        images = torch.cat(list(task_images(1).values()))
        before, after = (
            load_servable(learner.spec, result.state)(images).log_scores
            for result in learner.results
        )
        within = restrict(after, torch.tensor([True, True, False, False]))[:, :2]
        return float((before.exp() - within.exp()).abs().mean())

    assert drift(3.0) < 0.6 * drift(0.0)


def test_a_lone_class_is_warned_of(chain: Callable[..., Chain]) -> None:
    assert lone_class_warnings((0, 0, 1, 1)) == []
    learner = chain("lwf", epochs=30)
    assert learner.learn(task_images(0)).warnings == []
    assert "single class" in learner.learn({2: pictures(2, 30)}).warnings[0]


def test_defaults() -> None:
    options = LwFOptions()
    assert (options.temperature, options.weight, options.weight_decay) == (2.0, 1.0, 5e-4)
    assert LwF.needs.teacher
    assert not LwF.needs.exemplars
