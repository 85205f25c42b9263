"""Standard errors of accuracies: how far chance in the choice of images may have moved them."""

import math

import torch
from torch import Tensor


def binomial(accuracy: float | None, images: int) -> float | None:
    """Return √(p·(1 − p)/n) for a share p that is right of n independent images.

    None where nothing was measured. It is 0 where all are right or all wrong, which says little.
    """
    if accuracy is None or not images:
        return None
    return math.sqrt(accuracy * (1 - accuracy) / images)


def of_hits(hits: Tensor, groups: Tensor | None) -> float | None:
    """Return the standard error of the mean of `hits`, bool [n].

    `groups` [n] number the groups of the images; None: the images are independent. Images of a
    group are not. Then it is the cluster-robust one (Liang and Zeger, 1986), for the G groups g::

        √(G/(G − 1) · Σ_g (Σ_{i in g} (h_i − p))²) / n

    None without images, and for a single group, which says nothing of others.
    """
    if not len(hits):
        return None
    share = hits.double().mean()
    if groups is None:
        return binomial(float(share), len(hits))
    _, number = groups.unique(return_inverse=True)
    count = int(number.max()) + 1
    if count == 1:
        return None
    residuals = torch.zeros(count, dtype=torch.float64)
    residuals.index_add_(0, number, hits.double() - share)
    return math.sqrt(count / (count - 1) * float(residuals.square().sum())) / len(hits)
