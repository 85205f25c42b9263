"""The figures of an evaluation, from predictions of labelled images."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from models.calibration import expected_calibration_error
from models.standard_errors import of_hits

# Of the reliability diagram, and of the expected calibration error.
_BINS = 15


def measure(log_scores: Tensor, columns: Tensor, groups: Tensor | None = None) -> dict[str, Any]:
    """Return accuracy, confusion, figures by class and calibration, ready for JSON.

    `log_scores` [n, C] are logarithms of scores that sum to 1, `columns` [n] the right classes, for
    at least one image. `confusion[i][j]` counts the images of class i that were called j. `groups`
    [n] number the images' groups, if they have some: see `grouped_standard_error`.
    """
    predicted = log_scores.argmax(dim=1)
    hits = predicted == columns
    accuracy = float(hits.double().mean())
    counts = confusion(columns, predicted, log_scores.shape[1])
    return {
        "images": len(columns),
        "accuracy": accuracy,
        "standard_error": (
            standard_error(accuracy, len(columns))
            if groups is None
            else grouped_standard_error(hits, groups)
        ),
        "standard_error_kind": "binomial" if groups is None else "cluster_robust",
        "measured_on_groups": None if groups is None else len(groups.unique()),
        "confusion": counts.tolist(),
        "per_class": by_class(counts),
        "calibration": {
            "expected_error": expected_calibration_error(log_scores, columns, _BINS),
            "bins": reliability(log_scores, columns),
        },
    }


def standard_error(accuracy: float, images: int) -> float:
    """Return the standard error √(p(1 − p)/n) of an accuracy over n images.

    p counts one hit and one miss more than there were, since a perfect score over few images is not
    a certain one (Laplace's rule of succession).
    """
    p = (accuracy * images + 1) / (images + 2)
    return math.sqrt(p * (1 - p) / images)


def grouped_standard_error(hits: Tensor, groups: Tensor) -> float | None:
    """Return the standard error of the mean of `hits`, bool [n], of images of `groups` [n].

    It is robust to images of a group not being independent, and no less than if they were. None for
    a single group, which says nothing of others.
    """
    robust = of_hits(hits, groups)
    if robust is None:
        return None
    return max(robust, standard_error(float(hits.double().mean()), len(hits)))


def confusion(columns: Tensor, predicted: Tensor, classes: int) -> Tensor:
    """Return how many images of class i were called j, [C, C], from both classes [n]."""
    return torch.bincount(columns * classes + predicted, minlength=classes**2).view(classes, -1)


def by_class(counts: Tensor) -> list[dict[str, float | int | None]]:
    """Return each class's images, precision, recall and F1 from a confusion matrix [C, C].

    Precision is None where no image was called the class, recall where there is no image of it, and
    F1 where there is neither: it is 2·hits/(images of the class + images called so).
    """
    hits, images, called = counts.diagonal(), counts.sum(dim=1), counts.sum(dim=0)
    return [
        {
            "images": own,
            "precision": _share(right, named),
            "recall": _share(right, own),
            "f1": _share(2 * right, own + named),
        }
        for right, own, named in zip(hits.tolist(), images.tolist(), called.tolist(), strict=True)
    ]


def reliability(
    log_scores: Tensor, columns: Tensor, bins: int = _BINS
) -> list[Mapping[str, float | int | None]]:
    """Return the bins of a reliability diagram: of equal width, by the highest score.

    Each bin has its highest `score`, its `images`, their mean score and accuracy; None without
    images (Guo et al. 2017). A score is in the first bin that is not below it.
    """
    confidence, predicted = log_scores.double().exp().max(dim=1)
    number = (confidence * bins).ceil().long().sub(1).clamp(0, bins - 1)
    counts = torch.bincount(number, minlength=bins)
    scores = torch.bincount(number, confidence, bins).tolist()
    hits = torch.bincount(number, (predicted == columns).double(), bins).tolist()
    return [
        {
            "up_to": (index + 1) / bins,
            "images": count,
            "score": _share(scores[index], count),
            "accuracy": _share(hits[index], count),
        }
        for index, count in enumerate(counts.tolist())
    ]


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
