"""CS-KD as regularizer and as method: formula, pairs, and what weight 0 leaves (I46 to I49)."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from models.batches import EpochPlan
from models.checkpoint import Checkpoint
from models.errors import InvalidSpecError
from models.methods import validate
from models.methods.heads import within_task
from models.regularizers import CSKDOptions, CSKDRegularizer
from models.spec import Spec
from models.trainer import Trainer

from .conftest import Chain, pictures, task_images
from .test_trainer import assert_identical

DRAWS = torch.Generator().manual_seed(0)
OWN = torch.randn(6, 5, generator=DRAWS, dtype=torch.double)
PAIR = torch.randn(6, 5, generator=DRAWS, dtype=torch.double)


def loss(own: Tensor, pair: Tensor, temperature: float = 4.0, weight: float = 1.0) -> Tensor:
    return CSKDRegularizer(CSKDOptions(temperature=temperature, weight=weight)).loss(own, pair)


@pytest.mark.parametrize(("temperature", "weight"), [(4.0, 1.0), (1.0, 1.0), (2.5, 3.0)])
def test_the_formula(temperature: float, weight: float) -> None:
    expected, slopes = 0.0, torch.zeros(6, 5).double()
    for row in range(6):
        own, pair = ((each[row] / temperature).softmax(dim=0) for each in (OWN, PAIR))
        expected += float((pair * (pair / own).log()).sum()) / 6
        slopes[row] = weight * temperature * (own - pair) / 6
    own = OWN.clone().requires_grad_()
    value = loss(own, PAIR, temperature, weight)
    value.backward()
    assert float(value.detach()) == pytest.approx(weight * temperature**2 * expected)
    torch.testing.assert_close(own.grad, slopes)


def test_it_is_a_divergence_of_softmaxes() -> None:
    assert float(loss(OWN, OWN)) == pytest.approx(0, abs=1e-12)
    shifts = torch.randn(2, 6, 1, generator=DRAWS, dtype=torch.double)
    torch.testing.assert_close(loss(OWN + shifts[0], PAIR + shifts[1]), loss(OWN, PAIR))
    for _ in range(20):
        assert float(loss(*torch.randn(2, 6, 5, generator=DRAWS).double() * 5)) > 0


def test_the_pair_gets_no_gradient() -> None:
    own, pair = OWN.clone().requires_grad_(), PAIR.clone().requires_grad_()
    loss(own, pair).backward()
    assert own.grad is not None
    assert pair.grad is None


def test_columns_out_of_the_softmax_have_no_part_in_it() -> None:
    columns, tasks = torch.tensor([0, 1, 1, 2, 3, 4]), torch.tensor([0, 0, 1, 1, 1])
    own = OWN.clone().requires_grad_()
    value = loss(within_task(own, columns, tasks), within_task(PAIR, columns, tasks))
    value.backward()
    blocks = [loss(OWN[:3, :2], PAIR[:3, :2]), loss(OWN[3:, 2:], PAIR[3:, 2:])]
    torch.testing.assert_close(value.detach(), (blocks[0] + blocks[1]) / 2)
    assert own.grad is not None
    assert not own.grad[:3, 2:].any()
    assert not own.grad[3:, :2].any()


def draw(order: Tensor, columns: Tensor, epoch: int = 0, seed: int = 1) -> EpochPlan:
    return EpochPlan.draw_pairs(order, columns, 1, True, seed, 0, epoch)


def test_a_pair_shares_its_class() -> None:
    columns = torch.tensor([4, 0, 2, 2, 0, 2, 7])  # classes without images between them
    counted = torch.zeros(7, 7)
    for epoch in range(600):
        order = EpochPlan.draw(7, 1, True, 1, 0, epoch).order
        assert sorted(order.tolist()) == list(range(7))
        pairs = draw(order, columns, epoch).order
        assert torch.equal(columns[pairs], columns[order])
        counted[order, pairs] += 1
    # Uniformly so, itself among them: an image alone is its own pair.
    alike = columns[:, None] == columns
    expected = 600 * alike / alike.sum(dim=1, keepdim=True)
    assert float((counted - expected).abs().max()) < 5 * (600 * 0.25) ** 0.5


def test_pairs_are_a_function_of_seed_phase_and_epoch_with_draws_of_their_own() -> None:
    columns, order = torch.zeros(40, dtype=torch.int64), torch.randperm(40, generator=DRAWS)
    one, same, later, other = (
        draw(order, columns, *key) for key in ((0, 1), (0, 1), (1, 1), (0, 2))
    )
    assert torch.equal(one.order, same.order)
    assert torch.equal(one.rows, same.rows)
    assert not torch.equal(one.order, later.order)
    assert not torch.equal(one.order, other.order)
    plan = EpochPlan.draw(40, 1, True, 1, 0, 0)
    assert not torch.equal(one.rows, plan.rows)
    assert not torch.equal(one.flips, plan.flips)
    assert [len(batch.order) for batch in one.batches(13)] == [
        len(batch.order) for batch in plan.batches(13)
    ]


def regularized(learner: Chain, **options: Any) -> Chain:
    regularizer = {"name": "cs_kd", **options}
    learner.spec = validate(learner.spec.model_copy(update={"regularizer": regularizer}))
    return learner


METHODS = ["finetune", "joint", "replay", "lwf", "lwm", "mas", "piggyback", "packnet"]


def options_of(method: str) -> dict[str, Any]:
    return {"loss": "ce_kd"} if method == "icarl" else {}


@pytest.mark.parametrize("method", [*METHODS, "icarl"])
def test_every_softmax_can_be_regularized_and_weight_0_is_the_plain_run(
    chain: Callable[..., Chain], method: str
) -> None:
    runs = [
        chain(method, **options_of(method)),
        regularized(chain(method, **options_of(method)), weight=0),
        regularized(chain(method, **options_of(method)), weight=3),
    ]
    for learner in runs:
        for task in (0, 1):
            learner.learn(task_images(task))
    plain, nothing, much = runs
    for one, other in zip(plain.results, nothing.results, strict=True):
        assert_identical(one, other)
    heads = [learner.results[0].state.parts["head.0"]["weight"] for learner in (plain, much)]
    assert not torch.equal(*heads)


@pytest.mark.parametrize("method", ["lwf", "mas"])
def test_it_sees_the_softmax_of_the_methods_own_cross_entropy(
    chain: Callable[..., Chain], method: str
) -> None:
    """Images of the second task pass within its head, so the first's gets no gradient."""
    alone = {"lwf": {"weight": 0, "warm_up": 0}, "mas": {"strength": 0}}[method]
    learner = regularized(chain(method, weight_decay=0, **alone), weight=3)
    heads = [learner.learn(task_images(task)).state.parts["head.0"] for task in (0, 1)]
    assert torch.equal(heads[0]["weight"], heads[1]["weight"])
    assert torch.equal(heads[0]["bias"], heads[1]["bias"])


def test_the_method_is_finetune_with_the_regularizer(chain: Callable[..., Chain]) -> None:
    for weight, twin in (
        (0.0, chain("finetune")),
        (2.0, regularized(chain("finetune"), weight=2.0, temperature=3.0)),
    ):
        learner = chain("cs_kd", weight=weight, temperature=3.0)
        for task in (0, 1):
            assert_identical(learner.learn(task_images(task)), twin.learn(task_images(task)))


def watched(
    learner: Chain, new: dict[int, Tensor], monkeypatch: pytest.MonkeyPatch
) -> list[dict[str, Any]]:
    """Learn a step and return, for each forward of the network in training, how it was done."""
    seen: list[dict[str, Any]] = []
    run = Trainer.run

    def watch(self: Trainer, *args: Any) -> int:
        forward = self.method.forward

        def note(images: Tensor) -> Any:
            outputs = forward(images)
            seen.append(
                {
                    "images": images,
                    "grad": outputs.logits.requires_grad,
                    "train": self.method.network.training,
                }
            )
            return outputs

        self.method.forward = note
        steps = run(self, *args)
        self.method.forward = forward  # what follows is no training
        return steps

    monkeypatch.setattr(Trainer, "run", watch)
    learner.learn(new)
    monkeypatch.undo()
    return seen


def test_pairs_pass_apart_without_gradient_in_train_mode(
    chain: Callable[..., Chain], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = watched(chain("finetune", epochs=1), task_images(0), monkeypatch)
    learner = regularized(chain("finetune", epochs=1))
    seen = watched(learner, task_images(0), monkeypatch)
    own, pairs = seen[::2], seen[1::2]
    assert [each["grad"] for each in seen] == [True, False] * len(plain)
    assert all(each["train"] for each in seen)
    # The batches themselves are those of the plain run, to the pixel.
    for one, other in zip(own, plain, strict=True):
        assert torch.equal(one["images"], other["images"])
    assert all(
        one["images"].shape == two["images"].shape for one, two in zip(own, pairs, strict=True)
    )
    # Batch norm has seen each half by itself.
    tracked = learner.results[0].state.parts["backbone"]["norms.0.num_batches_tracked"]
    assert int(tracked) == len(seen)


def test_a_pair_of_an_image_alone_is_another_view_of_it(
    chain: Callable[..., Chain], monkeypatch: pytest.MonkeyPatch
) -> None:
    new = {0: pictures(0, 1), 1: pictures(1, 1)}
    own, pair = watched(regularized(chain("finetune", epochs=1)), new, monkeypatch)
    assert not torch.equal(own["images"], pair["images"])


@pytest.mark.parametrize("method", ["cs_kd", "lwf"])
def test_resuming(chain: Callable[..., Chain], method: str) -> None:
    whole, broken = (chain(method, epochs=3) for _ in range(2))
    if method == "lwf":
        whole, broken = regularized(whole), regularized(broken)
    saved: list[Checkpoint] = []
    expected = whole.learn(task_images(0), save=saved.append)
    assert_identical(broken.learn(task_images(0), resume=saved[0]), expected)


@pytest.mark.parametrize(
    ("change", "pointer", "words"),
    [
        ({"regularizer": {}}, "/regularizer/name", "cs_kd"),
        ({"regularizer": {"name": ["cs_kd"]}}, "/regularizer/name", "cs_kd"),
        ({"regularizer": {"name": "dropout"}}, "/regularizer/name", "cs_kd"),
        (
            {"regularizer": {"name": "cs_kd", "temperature": 0}},
            "/regularizer/temperature",
            "than 0",
        ),
        ({"regularizer": {"name": "cs_kd", "t": 1}}, "/regularizer/t", "no such option"),
        ({"method": "icarl"}, "/regularizer", "ce_kd"),
        ({"method": "cs_kd"}, "/regularizer", "built in"),
    ],
)
def test_what_is_wrong_is_pointed_at(change: dict[str, Any], pointer: str, words: str) -> None:
    given = {"method": "finetune", "regularizer": {"name": "cs_kd"}, **change}
    with pytest.raises(InvalidSpecError) as refused:
        validate(Spec(**given))
    assert refused.value.pointer == pointer
    assert words in refused.value.detail


def test_defaults_are_filled_in() -> None:
    spec = validate(Spec(method="finetune", regularizer={"name": "cs_kd"}))
    assert spec.regularizer == {"name": "cs_kd", "temperature": 4.0, "weight": 1.0}
    assert validate(spec) == spec
    assert validate(Spec(method="finetune")).regularizer is None
    options = validate(Spec(method="cs_kd")).options
    assert (options["temperature"], options["weight"], options["epochs"]) == (4.0, 1.0, 70)
