"""Calibration, against SciPy's optimiser and NumPy."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from models.calibration import calibrate, cross_fitted, expected_calibration_error, fit, fit_by_task
from models.classify import Output


def test_no_images_have_no_error() -> None:
    assert expected_calibration_error(torch.zeros(0, 3), torch.zeros(0).long()) is None


def test_sure_and_right_half_of_the_time_is_half_wrong() -> None:
    log_scores = torch.tensor([[0.0, -torch.inf]] * 4)
    assert expected_calibration_error(log_scores, torch.tensor([0, 1, 0, 1])) == 0.5


@pytest.mark.parametrize("seed", range(3))
def test_is_the_weighted_gap_of_bins(seed: int) -> None:
    draws = torch.Generator().manual_seed(seed)
    log_scores = (3 * torch.randn(200, 4, generator=draws)).log_softmax(dim=1)
    columns = torch.randint(4, (200,), generator=draws)

    scores = log_scores.double().exp().numpy()
    confidence = scores.max(axis=1)
    right = scores.argmax(axis=1) == columns.numpy()
    edges = np.arange(16) / 15
    expected = 0.0
    for low, high in pairwise(edges):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            gap = abs(right[inside].mean() - confidence[inside].mean())
            expected += inside.mean() * gap

    assert expected_calibration_error(log_scores, columns) == pytest.approx(expected, abs=1e-12)


def drawn(images: int, classes: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Log-scores that are three times too sure, and the classes."""
    draws = torch.Generator().manual_seed(seed)
    logits = torch.randn(images, classes, generator=draws, dtype=torch.float64)
    columns = torch.multinomial(logits.softmax(dim=1), 1, generator=draws).flatten()
    return (3 * logits).log_softmax(dim=1), columns


def best_values(
    confidence: np.ndarray,
    right: np.ndarray,
    around: Sequence[float] = (1.0, 1.0, 0.0),
    variances: Sequence[float] = (1.0, 1.0, 1.0),
) -> np.ndarray:
    """a, b and c of the greatest posterior, by SciPy."""

    def cost(values: np.ndarray) -> float:
        odds = values[0] * np.log(confidence) - values[1] * np.log1p(-confidence) + values[2]
        likelihood = -np.logaddexp(0, np.where(right, -odds, odds)).sum()
        prior = (values - np.array(around)) ** 2 / np.array(variances)
        return float(-likelihood + prior.sum() / 2)

    bounds = [(0.01, None), (0.01, None), (None, None)]
    return np.array(minimize(cost, around, bounds=bounds, options={"ftol": 1e-14, "gtol": 1e-9}).x)


# Two tasks' heads: the answers of the first are surer than they should be, the second's less sure.
TASKS = torch.tensor([4, 4, 7, 7])


def two_heads(images: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(seed)
    logits = 1.5 * torch.randn(images, 4, generator=draws, dtype=torch.float64)
    columns = torch.multinomial(logits.softmax(dim=1), 1, generator=draws).flatten()
    return (logits + torch.tensor([2.0, 2.0, 0.0, 0.0])).log_softmax(dim=1), columns


@pytest.mark.parametrize("routed", [False, True])
def test_each_task_has_a_curve_around_that_of_the_others(routed: bool) -> None:
    log_scores, columns = two_heads(300)
    chosen = TASKS[log_scores.argmax(dim=1)]
    output = Output(log_scores, tasks=chosen if routed else None)
    found = fit_by_task(output, columns, TASKS)
    temperature = fit(log_scores, columns).temperature
    scores = (log_scores / temperature).softmax(dim=1).numpy()
    confidence, right = scores.max(axis=1), scores.argmax(axis=1) == columns.numpy()
    for task in (4, 7):
        own = (chosen == task).numpy()
        around = best_values(confidence[~own], right[~own]).tolist()
        variances = (1.0, 1.0, 16.0 if routed else 4.0)
        expected = best_values(confidence[own], right[own], around, variances)
        for curve in found[task == TASKS]:
            assert float(curve[0]) == temperature
            assert curve[1:].tolist() == pytest.approx(expected, abs=2e-3)


def test_a_task_that_is_never_the_answer_has_the_curve_of_all() -> None:
    log_scores, columns = drawn(100)
    log_scores = (log_scores - torch.tensor([0.0, 0.0, 50.0, 50.0])).log_softmax(dim=1)
    found = fit_by_task(Output(log_scores), columns, TASKS)
    assert torch.equal(found[2:], fit(log_scores, columns).tensor().repeat(2, 1))
    # There is no other task's curve to be around.
    common = fit(log_scores, columns)
    p = (log_scores / common.temperature).softmax(dim=1).amax(dim=1).numpy()
    right = (log_scores.argmax(dim=1) == columns).numpy()
    expected = best_values(p, right, variances=(1.0, 1.0, 4.0))
    assert found[0, 1:].tolist() == pytest.approx(expected, abs=2e-3)


def test_a_single_task_has_one_curve() -> None:
    log_scores, columns = drawn(60)
    found = fit_by_task(Output(log_scores), columns, torch.full((4,), 3))
    assert torch.equal(found, fit(log_scores, columns).tensor())


def test_curves_of_tasks_calibrate_heads_that_never_competed() -> None:
    log_scores, columns = two_heads(2000)
    fresh, classes = two_heads(4000, seed=1)
    curves = fit_by_task(Output(log_scores), columns, TASKS)
    found = calibrate(Output(fresh), curves).log_scores
    error = expected_calibration_error(found, classes)
    assert error is not None
    assert error < 0.05
    # And so it is for the answers of each task alone, which one curve for both cannot do.
    one = calibrate(Output(fresh), fit(log_scores, columns).tensor()).log_scores
    for task in (4, 7):
        own = TASKS[fresh.argmax(dim=1)] == task
        right = float((fresh[own].argmax(dim=1) == classes[own]).double().mean())
        assert float(found[own].exp().amax(dim=1).mean()) == pytest.approx(right, abs=0.04)
    assert float(one[own].exp().amax(dim=1).mean()) < right - 0.3


def test_an_image_has_the_curve_of_its_best_class() -> None:
    log_scores, _ = drawn(200)
    curves = torch.tensor([[0.5, 2.0, 0.4, -3.0]] * 2 + [[0.5, 0.3, 1.0, 1.0]] * 2)
    found = calibrate(Output(log_scores), curves).log_scores
    for column, curve in enumerate(curves):
        own = log_scores.argmax(dim=1) == column
        expected = calibrate(Output(log_scores[own]), curve).log_scores
        torch.testing.assert_close(found[own], expected)
    assert torch.equal(found.argmax(dim=1), log_scores.argmax(dim=1))


@pytest.mark.parametrize("images", [3, 40, 600])
def test_the_curve_has_the_greatest_posterior(images: int) -> None:
    log_scores, columns = drawn(images)
    curve = fit(log_scores, columns)
    scores = (log_scores / curve.temperature).softmax(dim=1).numpy()
    right = scores.argmax(axis=1) == columns.numpy()
    assert curve[1:] == pytest.approx(best_values(scores.max(axis=1), right), abs=1e-3)


def test_slopes_have_a_bound() -> None:
    """The surer, the more often wrong: the curve is flat, and never turns around."""
    confidence = torch.linspace(0.3, 0.99, 200, dtype=torch.float64)
    log_scores = torch.stack([confidence, 1 - confidence], dim=1).log()
    log_scores = torch.cat([log_scores, torch.full((200, 1), -torch.inf)], dim=1)
    columns = torch.where(confidence > 0.7, 2, log_scores.argmax(dim=1))
    curve = fit(log_scores, columns)
    right = (columns != 2).numpy()
    found = torch.maximum(confidence, 1 - confidence).numpy()
    assert min(curve.low, curve.high) == 0.01
    assert curve[1:] == pytest.approx(best_values(found, right), abs=1e-3)


@pytest.mark.parametrize("curve", [(1.0, 1.0, 1.0, 0.0), (0.5, 2.0, 0.4, -3.0), (9, 0.3, 1, 4.0)])
def test_the_best_gets_the_curve_and_the_others_the_rest(curve: tuple[float, ...]) -> None:
    log_scores, _ = drawn(300, seed=2)
    found = calibrate(Output(log_scores), torch.tensor(curve)).log_scores.exp().numpy()
    t, a, b, c = curve
    scores = (log_scores / t).softmax(dim=1).numpy()
    p, best = scores.max(axis=1), scores.argmax(axis=1)
    odds = a * np.log(p) - b * np.log1p(-p) + c
    fitted, least = 1 / (1 + np.exp(-odds)), 1.001 / 4
    expected = np.maximum(fitted, least * (1 + 1e-3 * np.minimum(fitted / least, 1)))
    np.testing.assert_allclose(found.max(axis=1), expected, rtol=2e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=2e-5)
    for row in range(300):
        others = np.delete(np.arange(4), best[row])
        order = others[scores[row, others].argsort()]
        assert (np.diff(found[row, order]) >= -1e-9).all()
        even = scores[row, others] / (1 - p[row]) * (1 - expected[row])
        if even.max() < 0.999 * expected[row]:
            np.testing.assert_allclose(found[row, others], even, rtol=1e-4)


@pytest.mark.parametrize("temperature", [1e-3, 0.1, 1.0, 1e3])
@pytest.mark.parametrize("shift", [-20.0, 0.0, 20.0])
@pytest.mark.parametrize("routed", [False, True])
def test_the_best_class_stays(temperature: float, shift: float, routed: bool) -> None:
    log_scores = drawn(500, classes=6, seed=3)[0].float()
    log_scores[:3] = torch.tensor([0.0, -1e-6, -400, -500, -500.5, -600])  # nearly equal, and tiny
    tasks = None
    if routed:
        log_scores[:, 2:] = -torch.inf
        log_scores[250:] = log_scores[250:].roll(4, dims=1)
        tasks = torch.zeros(500).long()
        tasks[250:] = 2
    log_scores = log_scores.log_softmax(dim=1)
    curve = torch.tensor([temperature, 0.7, 0.9, shift])
    found = calibrate(Output(log_scores, tasks=tasks), curve).log_scores
    assert not found.isnan().any()
    assert torch.equal(found.argmax(dim=1), log_scores.argmax(dim=1))
    torch.testing.assert_close(found.exp().sum(dim=1), torch.ones(500), atol=1e-4, rtol=0)


def test_answers_worse_than_an_equal_share_stay_in_order() -> None:
    log_scores = drawn(200, classes=6, seed=3)[0].float().log_softmax(dim=1)
    confidence = log_scores.double().exp().amax(dim=1)
    fitted = 1 / (1 + np.exp(4) * (1 - confidence) / confidence)
    found = calibrate(Output(log_scores), torch.tensor([1.0, 1.0, 1.0, -4.0]))
    least = found.log_scores.exp().amax(dim=1)
    below = fitted < 1 / 6
    assert below.sum() > 50
    assert ((least[below] > 1 / 6) & (least[below] < 1.01 / 6)).all()
    in_order = least[fitted.argsort()]
    assert (in_order.diff() >= 0).all()
    assert len(least[below].unique()) > 0.9 * below.sum()


def test_what_a_routers_choice_loses_goes_to_other_tasks() -> None:
    log_scores = torch.tensor([[0.9, 0.1, 0, 0, 0]]).log()
    curve = torch.tensor([1.0, 1.0, 1.0, -1.0])
    found = calibrate(Output(log_scores, tasks=torch.tensor([0])), curve).log_scores.exp()[0]
    p = 1 / (1 + np.exp(1) / 9)
    rest = (1 - p) * np.array([0.1, *[(0.9 - p) / 3] * 3]) / (0.1 + 0.9 - p)
    assert found.tolist() == pytest.approx([p, *rest], rel=1e-4)
    # Of a task that was given, no other is considered.
    given = calibrate(Output(log_scores), curve).log_scores.exp()[0]
    assert given.tolist() == pytest.approx([p, 1 - p, 0, 0, 0], rel=1e-4)


def test_nothing_to_fit() -> None:
    neutral = (1.0, 1.0, 1.0, 0.0)
    assert fit(torch.zeros(0, 3), torch.zeros(0).long()) == neutral
    assert fit(torch.zeros(5, 1), torch.zeros(5).long()) == neutral
    alone = Output(torch.tensor([[0.0, -torch.inf]]))
    assert torch.equal(calibrate(alone, torch.tensor(neutral)).log_scores, alone.log_scores)


def test_calibrated_scores_mean_what_they_say() -> None:
    log_scores, columns = drawn(2000)
    before = expected_calibration_error(log_scores, columns)
    fresh, classes = drawn(4000, seed=1)
    curve = fit(log_scores, columns).tensor()
    after = expected_calibration_error(calibrate(Output(fresh), curve).log_scores, classes)
    assert before is not None
    assert after is not None
    assert before > 0.2
    assert after < 0.04


def test_cross_fitting_calibrates_each_image_by_others() -> None:
    log_scores, columns = drawn(43)
    tasks = torch.tensor([0, 0, 1, 1])
    found = cross_fitted(Output(log_scores), columns, tasks).log_scores
    order = columns.argsort(stable=True).tolist()
    for fold in range(5):
        own = order[fold::5]
        others = [image for image in range(43) if image not in own]
        curves = fit_by_task(Output(log_scores[others]), columns[others], tasks)
        expected = calibrate(Output(log_scores[own]), curves).log_scores
        torch.testing.assert_close(found[own], expected)
