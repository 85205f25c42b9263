"""Beta calibration: the odds a·log p − b·log(1 − p) + c that a class with the score p is right.

(Kull, Silva Filho & Flach, AISTATS 2017, eq. 3.)
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

# a, b and c that leave p as it is.
NEUTRAL = (1.0, 1.0, 0.0)
# a and b are no smaller, so that more confidence before is more confidence after.
_LEAST_SLOPE = 0.01
_NEWTON_STEPS = 50


def fit(
    features: Tensor,
    right: Tensor,
    around: Sequence[float] = NEUTRAL,
    variances: Sequence[float] = (1.0, 1.0, 1.0),
) -> list[float]:
    """Return a, b, c of the greatest posterior, with a and b at least `_LEAST_SLOPE`.

    `features` [n, 2] are log p and −log(1 − p) of images, `right` [n] is 1 where p is that of the
    right class, else 0. The prior is normal, `around` values with `variances`.
    """
    inputs = torch.cat([features, torch.ones_like(features[:, :1])], dim=1)
    fitted = _Posterior(inputs, right, inputs.new_tensor(around), inputs.new_tensor(variances))
    found = []
    # Convex: where a solution without the bounds is outside them, it is on one of them.
    for held in ((), (0,), (1,), (0, 1)):
        values = fitted.best(held)
        if bool((values[:2] >= _LEAST_SLOPE).all()):
            found.append((fitted.cost(values), values.tolist()))
        if found and not held:
            break
    return min(found)[1]


class _Posterior(NamedTuple):
    """Of a, b and c, given what is right [n] of images with inputs [n, 3]; the prior is normal."""

    inputs: Tensor
    right: Tensor
    around: Tensor
    variances: Tensor

    def cost(self, values: Tensor) -> float:
        """Return minus its logarithm, but for a constant."""
        odds = self.inputs @ values
        fitted = functional.binary_cross_entropy_with_logits(odds, self.right, reduction="sum")
        return float(fitted + 0.5 * ((values - self.around).square() / self.variances).sum())

    def best(self, held: tuple[int, ...]) -> Tensor:
        """Return the best values [3] where those at `held` are `_LEAST_SLOPE`: Newton's method."""
        inputs = self.inputs
        values = self.around.clone()
        values[list(held)] = _LEAST_SLOPE
        free = [place for place in range(3) if place not in held]
        cost = self.cost(values)
        for _ in range(_NEWTON_STEPS):
            p = (inputs @ values).sigmoid()
            slope = inputs.T @ (p - self.right) + (values - self.around) / self.variances
            bend = inputs.T @ (inputs * (p * (1 - p))[:, None]) + (1 / self.variances).diag()
            step = torch.zeros_like(values)
            step[free] = torch.linalg.solve(bend[free][:, free], slope[free])
            scale = 1.0
            while (lower := self.cost(values - scale * step)) > cost and scale > 1e-9:
                scale /= 2
            if lower >= cost:
                break
            values, cost = values - scale * step, lower
        return values
