"""Held-out accuracy while a network trains."""

import time
from collections.abc import Callable
from typing import Any

from models import fit
from models.inference import Pause
from models.methods import Method
from models.step import Step

# Measuring takes at most this share of the time that training has taken.
SHARE = 0.05
# What a forward takes of the time of an optimizer step on the same images, before it was measured.
_FORWARD = 1 / 3


class Watch:
    """Measures the accuracy on held-out images at the ends of epochs, if that costs little.

    Training stays the same to the bit: nothing is drawn, and batch norm is in eval mode. `last` and
    `best` are what was measured, from 0 to 1; None before.
    """

    def __init__(
        self,
        method: Method[Any],
        step: Step,
        pause: Pause,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.last: float | None = None
        self.best: float | None = None
        self._method = method
        self._step = step
        self._pause = pause
        self._clock = clock
        self._trained = 0.0  # seconds of training
        self._spent = 0.0  # seconds of measuring
        self._cost: float | None = None  # seconds of measuring once

    def after_epoch(self, seconds: float, images: int, *, always: bool) -> float | None:
        """Measure, if it costs little or `always`, after `seconds` of training on `images`.

        The network is left in eval mode. Return the accuracy, None where nothing was measured.
        """
        self._trained += seconds
        count = len(self._step.held_out)
        if not count:
            return None
        cost = self._cost
        if cost is None:
            cost = _FORWARD * seconds / max(images, 1) * count
        if not always and self._spent + cost > SHARE * self._trained:
            return None
        started = self._clock()
        self.last = fit.held_out_accuracy(self._method, self._step, self._pause)
        self.best = self.last if self.best is None else max(self.best, self.last)
        self._cost = self._clock() - started
        self._spent += self._cost
        return self.last
