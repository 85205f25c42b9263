"""Training until the accuracy on held-out images has stopped rising."""

from dataclasses import astuple, dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class EarlyStopping:
    """How a training phase ends before its last epoch.

    When the accuracy has not risen for `patience` epochs, the rate falls by the factor `decay`, and
    after `falls` of these falls the phase ends.
    """

    patience: int
    falls: int
    decay: float


@dataclass
class Plateaus:
    """What `EarlyStopping` has seen of a training phase.

    `epochs` were trained, and the last epoch as good as any, counted from 1, is number `best_epoch`
    with the accuracy `best`; for `waited` epochs it has not risen, nor the rate fallen, which it
    has `fallen` times.
    """

    epochs: int = 0
    best_epoch: int = 0
    best: float = -1.0
    waited: int = 0
    fallen: int = 0

    def add(self, accuracy: float, rule: EarlyStopping) -> bool:
        """Add the accuracy after one more epoch; return whether none before was better.

        Among equals the last is the best: few held-out images soon have nothing more to tell, and
        training goes on to learn.
        """
        self.epochs += 1
        self.waited = 0 if accuracy > self.best else self.waited + 1
        if self.waited >= rule.patience:
            self.waited = 0
            self.fallen += 1
        if accuracy < self.best:
            return False
        self.best, self.best_epoch = accuracy, self.epochs
        return True

    def over(self, rule: EarlyStopping) -> bool:
        """Say whether the phase has ended."""
        return self.fallen > rule.falls

    def encode(self) -> Tensor:
        """Return the numbers as a tensor [5]; `decode` reads it."""
        return torch.tensor(astuple(self), dtype=torch.float64)

    @classmethod
    def decode(cls, numbers: Tensor) -> Self:
        """Read what `encode` has written. Raises ValueError for other numbers."""
        epochs, best_epoch, best, waited, fallen = numbers.tolist()
        return cls(int(epochs), int(best_epoch), best, int(waited), int(fallen))
