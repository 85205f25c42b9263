"""Replay: the balanced softmax, distillation without its prior, and ways to classify."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from models.batches import Batch
from models.learner import restore
from models.methods.icarl import ICaRL
from models.networks import Activations
from models.serving import load_servable

from .conftest import Chain, pictures

OLD, CLASSES, ROWS = 2, 4, 6
DRAWS = torch.Generator().manual_seed(0)
LOGITS = torch.randn(ROWS, CLASSES, generator=DRAWS)
TEACHER = torch.randn(ROWS, OLD, generator=DRAWS)
# Two exemplars of old classes, then new images of the two new ones.
COLUMNS = torch.tensor([0, 1, 2, 3, 2, 2])


def no_teacher(_: Tensor) -> Activations:
    raise AssertionError("there is no teacher at the first step")


def teacher(_: Tensor) -> Activations:
    return Activations(None, torch.zeros(0), TEACHER)


def new(counts: dict[int, int], seed: int = 0) -> dict[int, Tensor]:
    return {column: pictures(column, count, seed) for column, count in counts.items()}


def loss(
    learner: Chain, counts: dict[int, int], ask: Callable[[Tensor], Activations], logits: Tensor
) -> Tensor:
    """The loss of a batch in a step that learns `counts` images of each class."""
    method, step = learner.begin(new(counts))
    rows = logits.shape[0]
    batch = Batch(torch.zeros(rows, 3, 8, 8), COLUMNS[:rows], torch.zeros(rows).bool(), ask)
    return method.loss(step, batch, Activations(None, torch.zeros(0), logits))


def second(chain: Callable[..., Chain]) -> Chain:
    """A chain that has learnt classes 0 and 1 and keeps 6 exemplars of each."""
    learner = chain("replay", exemplars=12)
    assert learner.learn(new({0: 20, 1: 20})).kept == (6, 6)
    return learner


def test_the_loss_counts_images_in_the_softmax_and_not_in_distillation(
    chain: Callable[..., Chain],
) -> None:
    logits = LOGITS.clone().requires_grad_()
    value = loss(second(chain), {2: 15, 3: 5}, teacher, logits)
    value.backward()
    # n·exp(z) / Σ n·exp(z), with the exemplars among the images.
    weighted = torch.tensor([6.0, 6.0, 15.0, 5.0]) * LOGITS.exp()
    probabilities = weighted / weighted.sum(dim=1, keepdim=True)
    target = (TEACHER / 2).softmax(dim=1)
    soft = (LOGITS[:, :OLD] / 2).softmax(dim=1)
    right = probabilities[torch.arange(ROWS), COLUMNS]
    expected = -right.log().mean() - (target * soft.log()).sum(dim=1).mean()
    torch.testing.assert_close(value.detach(), expected)
    gradient = probabilities - functional.one_hot(COLUMNS, CLASSES)
    gradient[:, :OLD] += (soft - target) / 2
    torch.testing.assert_close(logits.grad, gradient / ROWS)


def test_the_first_step_is_cross_entropy_with_the_counts(chain: Callable[..., Chain]) -> None:
    value = loss(chain("replay"), {0: 3, 1: 21}, no_teacher, LOGITS[:2, :2])
    weighted = torch.tensor([3.0, 21.0]) * LOGITS[:2, :2].exp()
    expected = -(weighted.diagonal() / weighted.sum(dim=1)).log().mean()
    torch.testing.assert_close(value, expected)


def test_with_as_many_images_of_each_class_it_is_plain_cross_entropy(
    chain: Callable[..., Chain],
) -> None:
    value = loss(chain("replay"), {0: 8, 1: 8}, no_teacher, LOGITS[:2, :2])
    torch.testing.assert_close(value, functional.cross_entropy(LOGITS[:2, :2], COLUMNS[:2]))


def test_more_images_of_a_class_are_counted_with_its_exemplars(chain: Callable[..., Chain]) -> None:
    method, step = second(chain).begin(new({0: 10, 2: 4}, seed=1))
    prior = method.view(step, torch.zeros(1, 3), torch.zeros(1))
    torch.testing.assert_close(prior.exp(), torch.tensor([[16.0, 6.0, 4.0]]))


def test_a_class_without_an_image_is_out_of_the_softmax(chain: Callable[..., Chain]) -> None:
    learner = second(chain)
    del learner.memory[1]
    logits = LOGITS.clone().requires_grad_()
    method, step = learner.begin(new({2: 15, 3: 5}))
    view = method.view(step, logits, COLUMNS)
    assert view.isfinite().all()
    functional.cross_entropy(view, torch.zeros_like(COLUMNS)).backward()
    assert logits.grad is not None
    assert float(logits.grad[:, 1].abs().max()) < 1e-30


def test_predictions_have_no_prior(chain: Callable[..., Chain]) -> None:
    learner = second(chain)
    state = learner.learn(new({2: 30})).state
    images = torch.cat([pictures(column, 5, seed=3) for column in range(3)])
    method = restore(learner.spec, state)
    with torch.inference_mode():
        logits = method.network(method.preprocess(images)).logits
        found = method.servable()(images)
    torch.testing.assert_close(found.scores, logits.softmax(dim=1))
    assert found.distances is None


def test_the_nearest_mean_is_icarls(chain: Callable[..., Chain]) -> None:
    """The same network and exemplars give the same means, to the bit."""
    learner = second(chain)
    other = chain("icarl", exemplars=12, **learner.spec.options)
    images = torch.cat([pictures(column, 5, seed=3) for column in range(2)])
    trained, own = restore(learner.spec, learner.results[-1].state), learner.results[-1].state
    icarl, step = other.begin(new({0: 20, 1: 20}))
    assert isinstance(icarl, ICaRL)
    icarl.network.load_state_dict(trained.network.state_dict())
    icarl.end(step)
    icarl.network.eval()
    assert torch.equal(icarl.means, trained.state()["means"]["means"])
    with torch.inference_mode():
        found = load_servable(learner.spec, own, classify="nearest_mean")(images)
        expected = icarl.servable()(images)
    assert torch.equal(found.distances, expected.distances)


def test_old_classes_hold_out_against_many_images_of_a_new_one(
    chain: Callable[..., Chain],
) -> None:
    """What the prior is for: the head is not drawn to the class with the most images."""
    shares = {}
    for method, options in (("icarl", {"loss": "ce_kd"}), ("replay", {})):
        learner = chain(method, exemplars=3, epochs=6, **options)
        learner.learn(new({0: 20, 1: 20}))
        state = learner.learn(new({2: 60})).state
        images = torch.cat([pictures(column, 40, seed=5) for column in (0, 1)])
        with torch.inference_mode():
            scores = load_servable(learner.spec, state, classify="softmax")(images).scores
        shares[method] = float(scores[:, 2].mean())
    assert shares["replay"] < shares["icarl"]
