"""The exemplar memory of iCaRL (Rebuffi et al. 2017): herding, trimming and the budget."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from models.inference import Pause, no_pause
from models.spec import Budget

# Costs this close to each other are a tie. They are of order k², in double precision.
TIE = 1e-9


def herd(features: Tensor, count: int, pause: Pause = no_pause) -> Tensor:
    """Rank the images of a class by herding (Alg. 4): the positions [m] of the first m exemplars.

    Each pick brings the mean of the exemplars as close as possible to the mean of the class, among
    images not yet picked; ties go to the lowest position. `features` [n, D] are L2-normalised, as
    the paper's notation implies; m = min(count, n). A shorter ranking is a prefix of a longer one.
    `pause` is called before each pick, since a large class takes minutes.
    """
    total = features.double()
    mean = total.mean(dim=0)
    # ‖μ − (s + φ)/k‖² differs from ‖s + φ‖² − 2k·μᵀ(s + φ) by a constant and a factor, and its
    # parts grow with the running sum s: one product a pick instead of n distances.
    along_mean = total @ mean
    # ‖φ‖² + 2 sᵀφ of each image; infinite for those that are picked.
    rest = total.square().sum(dim=1)
    picks: list[Tensor] = []
    for rank in range(1, min(count, len(features)) + 1):
        pause()
        cost = torch.add(rest, along_mean, alpha=-2 * rank)
        # Only rounding distinguishes costs this close: of two images both are equally good. Nothing
        # is read back from the device.
        pick = (cost <= cost.min() + TIE).int().argmax(dim=0, keepdim=True)
        rest.addmv_(total, total.index_select(0, pick)[0], alpha=2)
        rest.index_fill_(0, pick, torch.inf)
        picks.append(pick)
    if not picks:
        return torch.empty(0, dtype=torch.int64)
    return torch.cat(picks).cpu()


def trim(sizes: Sequence[Tensor], budget: Budget) -> tuple[int, ...]:
    """Return how many of each class's first exemplars the budget keeps (Alg. 5).

    `sizes[c]` [n] are the stored bytes of class c's images in ranking order. Each class may use an
    equal share of the budget, rounded down, so that the sum never exceeds it.
    """
    if budget.exemplars is not None:
        share = budget.exemplars // max(1, len(sizes))
        return tuple(min(share, len(ranked)) for ranked in sizes)
    assert budget.megabytes is not None  # noqa: S101 - Budget has one of the two
    room = int(budget.megabytes * 1e6 / max(1, len(sizes)))
    return tuple(int((ranked.cumsum(0) <= room).sum()) for ranked in sizes)


class ExemplarMemory:
    """The images that a version keeps of its classes, as positions in a step's training images.

    A class without new images keeps the ranking that it has: only its end is removed, and no
    features are computed.
    """

    def __init__(self, columns: Tensor, fresh: Tensor, sizes: Tensor, classes: int) -> None:
        """Take the column [N], freshness [N] and stored bytes [N] of the step's images."""
        self._sizes = sizes
        self.rankings = [(columns == column).nonzero().flatten() for column in range(classes)]
        self.kept: tuple[int, ...] = (0,) * classes
        self.changed = [bool(fresh[ranking].any()) for ranking in self.rankings]

    def keep_all(self) -> None:
        """Keep every image, in the order in which they came."""
        self.kept = tuple(len(ranking) for ranking in self.rankings)

    def select(
        self, features: Callable[[Tensor], Tensor], budget: Budget, pause: Pause = no_pause
    ) -> None:
        """Herd the classes with new images, and trim all classes to the budget.

        `features` gives the L2-normalised features [n, D] of the images at positions [n]; `pause`
        is called between picks.
        """
        for column, ranking in enumerate(self.rankings):
            if self.changed[column]:
                order = herd(features(ranking), self._reach(ranking, budget), pause)
                self.rankings[column] = ranking[order]
        self.kept = trim([self._sizes[ranking] for ranking in self.rankings], budget)

    def exemplars(self, column: int) -> Tensor:
        """Return the positions [m] of a class's exemplars, first pick first."""
        return self.rankings[column][: self.kept[column]]

    def _reach(self, ranking: Tensor, budget: Budget) -> int:
        """Return how far to rank a class: with more classes, its share can only shrink."""
        if budget.exemplars is None:
            return len(ranking)
        return budget.exemplars // len(self.rankings)
