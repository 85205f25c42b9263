"""Whether scores mean what they say: the expected calibration error."""

import torch
from torch import Tensor


def expected_calibration_error(log_scores: Tensor, columns: Tensor, bins: int = 15) -> float | None:
    """Return the expected calibration error of predictions, None without images.

    `log_scores` [n, C] are logarithms of scores that sum to 1, `columns` [n] the right classes.
    Images are put into `bins` of equal width by their largest score; the error is the mean over
    images of |accuracy − mean score| of their bin (Guo et al., On Calibration of Modern Neural
    Networks, ICML 2017, eq. 3).
    """
    if not len(columns):
        return None
    confidence, predicted = log_scores.double().exp().max(dim=1)
    right = (predicted == columns).double()
    # The bins are (0, 1/bins], (1/bins, 2/bins], … as in the paper.
    number = (confidence * bins).ceil().long().sub(1).clamp(0, bins - 1)
    gaps = torch.zeros(bins, dtype=torch.float64, device=confidence.device)
    gaps.index_add_(0, number, right - confidence)
    return float(gaps.abs().sum() / len(columns))
