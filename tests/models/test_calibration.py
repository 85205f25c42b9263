"""The expected calibration error, against NumPy's histogram."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from models.calibration import expected_calibration_error


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
