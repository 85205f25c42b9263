"""How the learning rate changes over a training phase: factors of the rate that it starts from.

A schedule is a function of the fraction of the phase that is done and of nothing else, so that a
resumed training has the rates of an uninterrupted one.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

# What a rise begins with, as a share of the rate: at nothing the first optimizer step were lost.
_RISE_FROM = 0.01


class Schedule(ABC):
    """The factor of the learning rate at a fraction of a training phase."""

    @abstractmethod
    def factor(self, fraction: float) -> float:
        """Return the factor, at most 1, once `fraction` of the optimizer steps (0 to 1) is done."""


@dataclass(frozen=True)
class Steps(Schedule):
    """The rate is multiplied by `decay` at each of `milestones`, fractions of the phase.

    Within the first `warm_up` of the phase it rises in proportion.
    """

    milestones: tuple[float, ...] = ()
    decay: float = 0.1
    warm_up: float = 0.0

    def factor(self, fraction: float) -> float:
        """Return decay^(milestones passed), less within the warm-up."""
        # Without the tolerance, rounding would move 7/10 of 70 epochs away from epoch 49.
        passed = sum(fraction >= milestone - 1e-9 for milestone in self.milestones)
        return self.decay**passed * _risen(fraction, self.warm_up)


@dataclass(frozen=True)
class Cosine(Schedule):
    """The rate falls to nothing along half a cosine (Loshchilov & Hutter, ICLR 2017, eq. 5).

    Within the first `warm_up` of the phase it rises in proportion.
    """

    warm_up: float = 0.05

    def factor(self, fraction: float) -> float:
        """Return (1 + cos πx) / 2, x being the fraction of what comes after the warm-up."""
        if fraction < self.warm_up:
            return _risen(fraction, self.warm_up)
        return (1 + math.cos(math.pi * (fraction - self.warm_up) / (1 - self.warm_up))) / 2


@dataclass(frozen=True)
class OneCycle(Schedule):
    """The rate rises from a 25th over 30 % of the phase, then falls to nearly nothing.

    Both along half a cosine (Smith & Topin 2018, as in common use; momentum stays as it is).
    """

    rise: float = 0.3
    first: float = 1 / 25
    last: float = 1e-4 / 25

    def factor(self, fraction: float) -> float:
        """Return the factor: `first` at 0, 1 at `rise`, `last` at 1."""
        if fraction < self.rise:
            return _along_cosine(self.first, 1.0, fraction / self.rise)
        return _along_cosine(1.0, self.last, (fraction - self.rise) / (1 - self.rise))


def _risen(fraction: float, warm_up: float) -> float:
    """Return the factor within a warm-up, from `_RISE_FROM` to 1, and 1 after it."""
    if fraction >= warm_up:
        return 1.0
    return _RISE_FROM + (1 - _RISE_FROM) * fraction / warm_up


def _along_cosine(start: float, end: float, fraction: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2
