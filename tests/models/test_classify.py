"""Nearest mean of exemplars and its scores (invariants I8 and I10)."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.classify import (
    NearestMean,
    Sigmoid,
    Softmax,
    class_mean,
    fit_temperature,
    restrict,
    squared_distances,
)
from models.networks import build
from models.preprocess import Preprocess


def unit(count: int, dim: int = 8, seed: int = 0) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(count, dim, generator=draws, dtype=torch.double))


def nearest(features: Tensor, means: Tensor) -> Tensor:
    return squared_distances(functional.normalize(features), means).argmin(dim=1)


FEATURES, MEANS = unit(200, seed=1), unit(7, seed=2)


def test_distances_are_euclidean() -> None:
    expected = torch.cdist(FEATURES, MEANS)
    torch.testing.assert_close(squared_distances(FEATURES, MEANS).sqrt(), expected)


def test_nearest_mean_is_the_largest_inner_product_for_unit_means() -> None:
    assert torch.equal(nearest(FEATURES, MEANS), (FEATURES @ MEANS.T).argmax(dim=1))
    # Without normalisation it is another classifier.
    longer = MEANS * torch.linspace(0.1, 3, 7, dtype=torch.double)[:, None]
    by_distance = torch.cdist(FEATURES, longer).argmin(dim=1)
    assert not torch.equal(by_distance, (FEATURES @ longer.T).argmax(dim=1))


def test_scale_rotation_and_relabelling() -> None:
    expected = nearest(FEATURES, MEANS)
    scale = torch.rand(200, 1, generator=torch.Generator().manual_seed(0)) + 0.1
    assert torch.equal(nearest(FEATURES * scale, MEANS), expected)
    rotation = torch.linalg.qr(unit(8, seed=4)).Q
    assert torch.equal(nearest(FEATURES @ rotation, MEANS @ rotation), expected)
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    assert torch.equal(order[nearest(FEATURES, MEANS[order])], expected)


def test_a_class_mean_has_length_one() -> None:
    assert float(class_mean(FEATURES).norm()) == pytest.approx(1)
    torch.testing.assert_close(class_mean(FEATURES[:1]), FEATURES[0])


def trained_module(kind: str) -> nn.Module:
    network = build("convnet", 3)
    network.head.grow(0, 4, 3)
    preprocess = Preprocess(torch.full((3,), 0.5), torch.full((3,), 0.2))
    if kind == "nearest_mean":
        means = functional.normalize(
            torch.randn(4, 128, generator=torch.Generator().manual_seed(5))
        )
        return NearestMean(preprocess, network, means, torch.tensor(0.5)).eval()
    return {"softmax": Softmax, "sigmoid": Sigmoid}[kind](preprocess, network).eval()


IMAGES = torch.randint(
    0, 256, (5, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
)


@pytest.mark.parametrize("kind", ["nearest_mean", "softmax", "sigmoid"])
def test_scores_sum_to_one(kind: str) -> None:
    scores = trained_module(kind)(IMAGES).scores
    assert scores.shape == (5, 4)
    assert bool((scores >= 0).all())
    torch.testing.assert_close(scores.sum(dim=1), torch.ones(5))


def test_sigmoid_scores_are_the_sigmoids_scaled() -> None:
    module = trained_module("sigmoid")
    logits = module.network(module.preprocess(IMAGES)).logits
    expected = logits.sigmoid() / logits.sigmoid().sum(dim=1, keepdim=True)
    torch.testing.assert_close(module(IMAGES).scores, expected)


def test_the_head_has_no_say_in_nearest_mean() -> None:
    module = trained_module("nearest_mean")
    before = module(IMAGES)
    with torch.no_grad():
        for parameter in module.network.head.parameters():
            parameter.add_(3)
    after = module(IMAGES)
    assert torch.equal(before.scores, after.scores)
    assert torch.equal(before.distances, after.distances)


def test_restricting_renormalises() -> None:
    scores = torch.tensor([[0.1, 0.3, 0.6], [0.5, 0.5, 0.0]])
    within = restrict(scores.log(), torch.tensor([True, True, False])).exp()
    torch.testing.assert_close(within, torch.tensor([[0.25, 0.75, 0], [0.5, 0.5, 0]]))
    # A softmax restricted is the softmax of the columns left.
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(2))
    chosen = torch.tensor([False, True, True, False, True])
    torch.testing.assert_close(
        restrict(logits.log_softmax(1), chosen)[:, chosen], logits[:, chosen].log_softmax(1)
    )


def test_scores_too_small_for_a_float_still_have_an_order() -> None:
    log_scores = torch.tensor([[0.0, -500.0, -400.0]])
    assert log_scores.exp()[0, 2] == 0
    within = restrict(log_scores, torch.tensor([False, True, True])).exp()
    torch.testing.assert_close(within, torch.tensor([[0.0, 0.0, 1.0]]))


def test_temperature_has_the_lowest_loss() -> None:
    draws = torch.Generator().manual_seed(8)
    squared = torch.rand(300, 5, generator=draws)
    columns = torch.where(
        torch.rand(300, generator=draws) < 0.8,
        squared.argmin(dim=1),
        torch.randint(5, (300,), generator=draws),
    )
    fitted = fit_temperature(squared, columns)
    # Laplace's rule: the right class has 301/302 of the target, the other four share the rest.
    target = torch.full((300, 5), 1 / 302 / 4, dtype=torch.double)
    target[torch.arange(300), columns] = 301 / 302
    losses = {
        tau: float(functional.cross_entropy(-squared.double() / tau, target))
        for tau in (fitted, *torch.logspace(-3, 2, 400).tolist())
    }
    assert min(losses, key=losses.__getitem__) == fitted


def test_a_few_images_without_a_mistake_do_not_make_scores_certain() -> None:
    squared = torch.tensor([[0.1, 0.5], [0.6, 0.1], [0.05, 0.4], [0.5, 0.1]])
    columns = torch.tensor([0, 1, 0, 1])
    scores = (-squared / fit_temperature(squared, columns)).softmax(dim=1)
    assert bool((scores > 0.05).all())


def test_temperature_without_held_out_images() -> None:
    assert fit_temperature(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)) == 1.0
