"""iCaRL's loss and its memory over steps (invariants I5, I6, I9, I11 to I16)."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from models.batches import Batch
from models.errors import LearningError
from models.learner import restore
from models.methods import get
from models.methods.icarl import BCE_LR, ICaRL, ICaRLOptions, bce_targets
from models.networks import Activations
from models.serving import load_servable
from models.trainer import Trainer

from .conftest import Chain, pictures

OLD, CLASSES, ROWS = 3, 5, 6
DRAWS = torch.Generator().manual_seed(0)
LOGITS = torch.randn(ROWS, CLASSES, generator=DRAWS, dtype=torch.double)
TEACHER = torch.randn(ROWS, OLD, generator=DRAWS, dtype=torch.double)
# Two exemplars of old classes, then new images of the two new ones.
COLUMNS = torch.tensor([0, 2, 3, 4, 3, 4])
FRESH = torch.tensor([False, False, True, True, True, True])


def batch(columns: Tensor = COLUMNS, teacher: Tensor = TEACHER, fresh: Tensor = FRESH) -> Batch:
    return Batch(
        images=torch.zeros(len(columns), 3, 8, 8),
        columns=columns,
        fresh=fresh,
        ask_teacher=lambda _: Activations(None, torch.zeros(0), teacher),
    )


def loss(logits: Tensor, of: Batch, old: int = OLD, kind: str = "bce") -> Tensor:
    method = ICaRL(ICaRLOptions(loss=kind), SimpleNamespace(), SimpleNamespace())  # type: ignore[arg-type]
    step: Any = SimpleNamespace(known=old)
    return method.loss(step, of, Activations(None, torch.zeros(0), logits))


def test_the_first_step_is_plain_binary_cross_entropy() -> None:
    hot = functional.one_hot(COLUMNS, CLASSES).double()
    sigmoid = LOGITS.sigmoid()
    expected = -(hot * sigmoid.log() + (1 - hot) * (1 - sigmoid).log()).sum() / ROWS
    torch.testing.assert_close(loss(LOGITS, batch(), old=0), expected)


def test_gradient_is_sigmoid_less_target_for_exemplars_too() -> None:
    logits = LOGITS.clone().requires_grad_()
    loss(logits, batch()).backward()
    target = torch.cat([TEACHER.sigmoid(), functional.one_hot(COLUMNS, CLASSES)[:, OLD:]], dim=1)
    torch.testing.assert_close(logits.grad, (LOGITS.sigmoid() - target) / ROWS)


def test_no_gradient_in_old_columns_where_student_equals_teacher() -> None:
    logits = LOGITS.clone().requires_grad_()
    value = loss(logits, batch(teacher=LOGITS[:, :OLD]))
    value.backward()
    assert logits.grad is not None
    assert float(logits.grad[:, :OLD].abs().max()) < 1e-12
    assert float(value.detach()) > 0  # the entropy of the teacher is left


def test_an_exemplar_has_no_hard_label() -> None:
    relabelled = COLUMNS.clone()
    relabelled[:2] = torch.tensor([1, 0])
    assert torch.equal(loss(LOGITS, batch()), loss(LOGITS, batch(relabelled)))


def test_a_fresh_image_of_an_old_class_is_taught_by_its_label() -> None:
    fresh = torch.ones(ROWS, dtype=torch.bool)
    targets = bce_targets(batch(fresh=fresh), LOGITS, OLD)
    assert targets[0, 0] == targets[1, 2] == 1
    torch.testing.assert_close(targets[0, 1:OLD], TEACHER.sigmoid()[0, 1:])


def test_ce_kd_adds_distillation_at_two_degrees_without_t_squared() -> None:
    logits = LOGITS.clone().requires_grad_()
    loss(logits, batch(), kind="ce_kd").backward()
    label = LOGITS.softmax(dim=1) - functional.one_hot(COLUMNS, CLASSES)
    soft = ((LOGITS[:, :OLD] / 2).softmax(dim=1) - (TEACHER / 2).softmax(dim=1)) / 2
    label[:, :OLD] += soft
    torch.testing.assert_close(logits.grad, label / ROWS)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sum_over_classes_trains_like_the_papers_mean_over_100(momentum: float) -> None:
    """lr 0.02 and decay 2e-3 on the sum = lr 2.0 and decay 2e-5 on the mean of 100 outputs."""
    images = torch.randn(64, 10, generator=DRAWS, dtype=torch.double)
    hot = functional.one_hot(torch.randint(100, (64,), generator=DRAWS), 100).double()
    ours = torch.zeros(100, 10, dtype=torch.double, requires_grad=True)
    paper = torch.zeros(100, 10, dtype=torch.double, requires_grad=True)
    options = ICaRLOptions()
    one = torch.optim.SGD([ours], lr=BCE_LR, momentum=momentum, weight_decay=options.weight_decay)
    other = torch.optim.SGD([paper], lr=2.0, momentum=momentum, weight_decay=2e-5)
    bce = functional.binary_cross_entropy_with_logits
    for _ in range(30):
        one.zero_grad()
        (bce(images @ ours.T, hot, reduction="sum") / 64).backward()
        one.step()
        other.zero_grad()
        bce(images @ paper.T, hot, reduction="mean").backward()
        other.step()
    torch.testing.assert_close(ours, paper, rtol=1e-9, atol=1e-12)


def test_defaults_are_the_papers() -> None:
    options = ICaRLOptions()
    assert (options.epochs, options.momentum, options.lr_decay) == (70, 0.9, 0.2)
    assert [round(70 * milestone) for milestone in options.milestones] == [49, 63]
    assert ICaRLOptions(loss="ce_kd").lr_decay == 0.1
    assert ICaRLOptions(loss="ce_kd").weight_decay == 5e-4
    assert ICaRLOptions(lr=0.05).lr == 0.05
    assert ICaRLOptions(lr=None).lr is ICaRLOptions().lr is None


def new(*labels: int, count: int = 20) -> dict[int, Tensor]:
    return {label: pictures(label, count) for label in labels}


def test_memory_over_steps(chain: Callable[..., Chain]) -> None:
    learner = chain("icarl", exemplars=13)
    for labels in ((0, 1), (2,), (3, 4)):
        before = dict(learner.memory)
        learner.learn(new(*labels))
        kept = [len(images) for _, images in sorted(learner.memory.items())]
        assert sum(kept) <= 13
        assert set(kept) == {13 // len(learner.tasks)}
        for label, images in learner.memory.items():
            # Byte-identical to what was sent, none twice; old classes keep a prefix.
            stored = {bytes(image.numpy().tobytes()) for image in pictures(label, 20)}
            mine = [bytes(image.numpy().tobytes()) for image in images]
            assert len(set(mine)) == len(mine)
            assert set(mine) <= stored
            if label in before:
                assert torch.equal(images, before[label][: len(images)])


def test_fewer_images_than_the_quota(chain: Callable[..., Chain]) -> None:
    learner = chain("icarl", exemplars=40)
    result = learner.learn({0: pictures(0, 1), 1: pictures(1, 30)})
    assert result.kept == (1, 20)


def test_one_image_alone_is_a_first_task(chain: Callable[..., Chain]) -> None:
    result = chain("icarl").learn({0: pictures(0, 1)})
    assert result.metrics["accuracy"] == 1.0


def test_a_budget_without_room_is_refused(chain: Callable[..., Chain]) -> None:
    with pytest.raises(LearningError, match="exemplars") as refused:
        chain("icarl", exemplars=2).learn(new(0, 1, 2))
    assert refused.value.code == "memory-too-small"


def test_predictions_after_reload_are_identical(chain: Callable[..., Chain]) -> None:
    learner = chain("icarl")
    learner.learn(new(0, 1))
    state = learner.results[-1].state
    images = torch.cat([pictures(label, 5, seed=3) for label in (0, 1)])
    one = load_servable(learner.spec, state)(images)
    other = load_servable(learner.spec, state)(images)
    assert torch.equal(one.scores, other.scores)
    assert torch.equal(one.distances, other.distances)


def test_the_means_are_of_the_current_network_and_both_views(chain: Callable[..., Chain]) -> None:
    learner = chain("icarl")
    learner.learn(new(0, 1))
    learner.learn(new(2))
    method = restore(learner.spec, learner.results[-1].state)
    for column, images in learner.memory.items():
        both = torch.cat([images, images.flip(3)])
        with torch.no_grad():
            features = method.network(method.preprocess(both)).features
        mean = functional.normalize(features, dim=1).mean(dim=0)
        torch.testing.assert_close(method.means[column], mean / mean.norm())


def test_the_teacher_does_not_move(
    chain: Callable[..., Chain], monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = chain("icarl")
    learner.learn(new(0, 1))
    seen: list[Trainer] = []
    run = Trainer.run

    def watch(self: Trainer, *args: Any) -> int:
        seen.append(self)
        return run(self, *args)

    monkeypatch.setattr(Trainer, "run", watch)
    learner.learn(new(2))
    teacher = seen[0].teacher
    assert teacher is not None
    assert not teacher.training
    before = learner.results[0].state.parts["backbone"]
    for name, tensor in teacher.backbone.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert all(parameter.grad is None for parameter in teacher.parameters())
    after = learner.results[1].state.parts["backbone"]
    assert not torch.equal(after["convs.0.weight"], before["convs.0.weight"])


def test_extending_a_class(chain: Callable[..., Chain]) -> None:
    learner = chain("icarl", exemplars=12)
    learner.learn(new(0, 1))
    result = learner.learn({0: pictures(0, 15, seed=4)})
    assert result.state.tasks == (0, 0)
    assert set(result.rankings) == {0}
    assert result.kept == (6, 6)
    assert [len(row) for row in result.metrics["matrix"]] == [1, 1]


def test_icarl_is_registered() -> None:
    assert get("icarl") is ICaRL
