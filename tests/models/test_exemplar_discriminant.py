"""The discriminant of exemplars against its formula in NumPy, for every method that has it."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.edits import forget
from models.exemplar_discriminant import ExemplarDiscriminant, shrinkage
from models.learner import learn, restore
from models.serving import load_servable
from models.state import State
from models.step import Remaining

from .conftest import Chain, pictures, task_images

METHODS = ["icarl", "replay"]
ALPHA = 0.5  # few exemplars


def solved(classes: Sequence[NDArray[np.float64]], alpha: float) -> NDArray[np.float64]:
    """Weights and, last, biases [C, D + 1] for classes of features [n, D]."""
    means = [features.mean(axis=0) for features in classes]
    apart = np.concatenate([part - mean for part, mean in zip(classes, means, strict=True)])
    spread = apart.T @ apart / (len(apart) - len(classes))
    shrunk = (1 - alpha) * spread + alpha * np.trace(spread) / len(spread) * np.eye(len(spread))
    inverse = np.linalg.inv(shrunk)
    correction = np.trace(inverse @ spread) / 2
    return np.stack(
        [
            np.append(inverse @ mean, correction / len(part) - mean @ inverse @ mean / 2)
            for part, mean in zip(classes, means, strict=True)
        ]
    )


def features_of(learner: Chain, state: State, images: Tensor) -> Tensor:
    method = restore(learner.spec, state)
    with torch.inference_mode():
        return functional.normalize(method.network(method.preprocess(images)).features)


def exemplar_features(learner: Chain, state: State) -> list[NDArray[np.float64]]:
    """Of each class's exemplars and their mirror images, as the network gives them."""
    return [
        features_of(learner, state, torch.cat([images, images.flip(3)])).half().double().numpy()
        for _, images in sorted(learner.memory.items())
    ]


def scores(learner: Chain, state: State, images: Tensor) -> Tensor:
    with torch.inference_mode():
        return restore(learner.spec, state).servable(classify="discriminant")(images).log_scores


def expected(
    learner: Chain, state: State, classes: Sequence[NDArray[np.float64]], images: Tensor
) -> Tensor:
    solution = torch.from_numpy(solved(classes, ALPHA))
    rows = features_of(learner, state, images).double()
    return (rows @ solution[:, :-1].T + solution[:, -1]).log_softmax(dim=1).float()


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


def three_tasks(chain: Callable[..., Chain], method: str) -> Chain:
    learner = chain(method, exemplars=24)
    for task in range(3):
        learner.learn(task_images(task))
    return learner


TEST = torch.cat([pictures(column, 6, seed=3) for column in range(6)])


@pytest.mark.parametrize(
    ("exemplars", "alpha"), [(1, 0.5), (8, 0.5), (11, 0.4), (14, 0.3), (20, 0.1), (500, 0.1)]
)
def test_shrinkage_falls_with_the_exemplars(exemplars: int, alpha: float) -> None:
    assert shrinkage(exemplars) == pytest.approx(alpha)


@pytest.mark.parametrize("method", METHODS)
def test_it_is_the_formula_over_the_exemplars(chain: Callable[..., Chain], method: str) -> None:
    learner = three_tasks(chain, method)
    state = learner.results[-1].state
    found = scores(learner, state, TEST)
    close(found, expected(learner, state, exemplar_features(learner, state), TEST))
    assert (found.argmax(dim=1) == torch.arange(6).repeat_interleave(6)).float().mean() > 0.8


@pytest.mark.parametrize("method", METHODS)
def test_a_class_extended(chain: Callable[..., Chain], method: str) -> None:
    """Its exemplars are chosen anew, and the discriminant is of those."""
    learner = chain(method, exemplars=8)
    learner.learn(task_images(0))
    before = dict(learner.memory)
    state = learner.learn({0: pictures(0, 15, seed=4)}).state
    assert not torch.equal(learner.memory[0], before[0])
    images = TEST[:12]
    close(
        scores(learner, state, images),
        expected(learner, state, exemplar_features(learner, state), images),
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("gone", [(2,), (0, 4), (2, 3)])
def test_forgetting_leaves_what_the_other_classes_alone_give(
    chain: Callable[..., Chain], method: str, gone: tuple[int, ...]
) -> None:
    learner = three_tasks(chain, method)
    before = learner.results[-1]
    left = [column for column in range(6) if column not in gone]
    remaining = Remaining(
        held_out=torch.cat([learner.held_out[column] for column in left]),
        held_out_columns=torch.arange(len(left)).repeat_interleave(10),
        kept=tuple(before.kept[column] for column in left),
    )
    after = forget(learner.spec, before.state, gone, remaining, device="cpu").state
    classes = exemplar_features(learner, before.state)
    close(
        scores(learner, after, TEST),
        expected(learner, after, [classes[column] for column in left], TEST),
    )
    # Of what it is solved from, the rest stays to the bit.
    parts = [state.parts["discriminant"] for state in (before.state, after)]
    counts = parts[0]["counts"]
    rows = parts[0]["features"].split(counts.tolist())
    assert torch.equal(parts[1]["features"], torch.cat([rows[column] for column in left]))
    assert torch.equal(parts[1]["counts"], counts[left])


def test_one_image_of_each_class_is_the_nearest_mean() -> None:
    """Nothing is known of how a class scatters."""
    draws = torch.Generator().manual_seed(0)
    features = functional.normalize(torch.randn(3, 16, generator=draws)).half().float()
    discriminant = ExemplarDiscriminant.of(features.split(1), exemplars=3)
    rows = torch.randn(5, 16, generator=draws)
    found = (rows @ discriminant.weight.T + discriminant.bias).log_softmax(dim=1)
    distances = (rows[:, None] - features).square().sum(dim=2)
    torch.testing.assert_close(found, (-distances / 2).log_softmax(dim=1))


@pytest.mark.parametrize("method", METHODS)
def test_a_version_of_a_release_without_it(chain: Callable[..., Chain], method: str) -> None:
    """It predicts, forgets and learns as it did, and its next step has a discriminant."""
    learner = chain(method)
    made = learner.learn(task_images(0))
    parts = {name: part for name, part in made.state.parts.items() if name != "discriminant"}
    old = State(parts, made.state.tasks)
    with pytest.raises(ValueError, match="without a discriminant"):
        load_servable(learner.spec, old, classify="discriminant")
    held_out, none = pictures(0, 4), torch.zeros(4, dtype=torch.int64)
    after = forget(learner.spec, old, [1], Remaining(held_out, none, (6,)), device="cpu")
    assert "discriminant" not in after.state.parts
    ways = {way for _, way in after.sample.log_scores}
    assert ways == {"nearest_mean", "softmax"}
    again = learn(learner.spec, old, learner.data(task_images(1)), device="cpu")
    assert again.state.parts["discriminant"]["weight"].shape[0] == 4
    assert (None, "discriminant") in again.sample.log_scores
