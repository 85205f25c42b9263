"""Calibration, against SciPy's optimiser and NumPy."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from models.calibration import calibrate, cross_fitted, expected_calibration_error, fit
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


def objective(values: np.ndarray, confidence: np.ndarray, right: np.ndarray) -> float:
    """Minus the logarithm of the posterior of a, b and c, by NumPy."""
    a, b, c = values
    odds = a * np.log(confidence) - b * np.log1p(-confidence) + c
    likelihood = -np.logaddexp(0, np.where(right, -odds, odds)).sum()
    return float(-likelihood + ((a - 1) ** 2 + (b - 1) ** 2 + c**2) / 2)


@pytest.mark.parametrize("images", [3, 40, 600])
def test_the_curve_has_the_greatest_posterior(images: int) -> None:
    log_scores, columns = drawn(images)
    curve = fit(log_scores, columns)
    scores = (log_scores / curve.temperature).softmax(dim=1).numpy()
    right = scores.argmax(axis=1) == columns.numpy()
    best = minimize(
        objective,
        [1.0, 1.0, 0.0],
        (scores.max(axis=1), right),
        bounds=[(0.01, None), (0.01, None), (None, None)],
        options={"ftol": 1e-14, "gtol": 1e-9},
    )
    assert curve[1:] == pytest.approx(best.x, abs=1e-3)


def test_slopes_have_a_bound() -> None:
    """The surer, the more often wrong: the curve is flat, and never turns around."""
    confidence = torch.linspace(0.3, 0.99, 200, dtype=torch.float64)
    log_scores = torch.stack([confidence, 1 - confidence], dim=1).log()
    log_scores = torch.cat([log_scores, torch.full((200, 1), -torch.inf)], dim=1)
    columns = torch.where(confidence > 0.7, 2, log_scores.argmax(dim=1))
    curve = fit(log_scores, columns)
    right = (columns != 2).numpy()
    found = torch.maximum(confidence, 1 - confidence).numpy()
    best = minimize(
        objective, [1, 1, 0], (found, right), bounds=[(0.01, None), (0.01, None), (None, None)]
    )
    assert min(curve.low, curve.high) == 0.01
    assert curve[1:] == pytest.approx(best.x, abs=1e-3)


@pytest.mark.parametrize("curve", [(1.0, 1.0, 1.0, 0.0), (0.5, 2.0, 0.4, -3.0), (9, 0.3, 1, 4.0)])
def test_the_best_gets_the_curve_and_the_others_the_rest(curve: tuple[float, ...]) -> None:
    log_scores, _ = drawn(300, seed=2)
    found = calibrate(Output(log_scores), torch.tensor(curve)).log_scores.exp().numpy()
    t, a, b, c = curve
    scores = (log_scores / t).softmax(dim=1).numpy()
    p, best = scores.max(axis=1), scores.argmax(axis=1)
    odds = a * np.log(p) - b * np.log1p(-p) + c
    expected = np.maximum(1 / (1 + np.exp(-odds)), 1.001 / 4)
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
    found = cross_fitted(Output(log_scores), columns).log_scores
    order = columns.argsort(stable=True).tolist()
    for fold in range(5):
        own = order[fold::5]
        others = [image for image in range(43) if image not in own]
        curve = fit(log_scores[others], columns[others]).tensor()
        expected = calibrate(Output(log_scores[own]), curve).log_scores
        torch.testing.assert_close(found[own], expected)
