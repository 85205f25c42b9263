"""What a version says of images whose label is known: which it contradicts, and how surely.

A suspect is an image whose label is likely to be wrong. Its scores must come from a version that
was not trained on it: of a held-out image, or of one that was left out. By confident learning, the
version speaks for another class where it gives that class a score that is usual for images of the
class: one of at least the mean score that images of a class are given for their own label
(Northcutt, Jiang & Chuang: Confident Learning, JAIR 2021, eq. 2).
"""

from collections.abc import Mapping, Sequence
from math import exp
from typing import NamedTuple, Self

import torch
from torch import Tensor

from models.classify import Output
from models.state import Tensors

# The parts of a version that have what it says of its held-out images, and of images that it was
# trained on, each left out of it in turn. No prediction needs them.
HELD_OUT, LEFT_OUT = PARTS = "judged.held_out", "judged.left_out"


def without_judged(parts: Mapping[str, str]) -> dict[str, str]:
    """Return the parts of a version, by name, that predictions and later steps need."""
    return {name: sha256 for name, sha256 in parts.items() if name not in PARTS}


class Judgement(NamedTuple):
    """What a version says of one image, which `sha256` names.

    `column` is the class of its label and `predicted` the class of the highest score; `log_score`
    and `own` are the logarithms of the scores of the two.
    """

    sha256: str
    column: int
    predicted: int
    log_score: float
    own: float

    @property
    def wrong(self) -> bool:
        """Whether the version contradicts the label."""
        return self.predicted != self.column

    @property
    def margin(self) -> float:
        """How far the highest log-score is above that of the label."""
        return self.log_score - self.own

    @property
    def rank(self) -> tuple[bool, float, float, str]:
        """By which judgements are sorted: the most surely wrong first, the surest right last."""
        sureness = -self.log_score if self.wrong else self.log_score
        return not self.wrong, -self.margin, sureness, self.sha256


class Judged(NamedTuple):
    """What a version says of n images, as tensors: see `Judgement`.

    `digests` uint8 [n, 32] are the images' SHA-256; `columns`, `predicted`, `log_scores` and `own`
    are [n].
    """

    digests: Tensor
    columns: Tensor
    predicted: Tensor
    log_scores: Tensor
    own: Tensor

    @classmethod
    def of(cls, log_scores: Tensor, columns: Tensor, digests: Tensor) -> Self:
        """Return what log-scores [n, C] say of images of classes `columns` [n]."""
        highest, predicted = log_scores.max(dim=1)
        own = log_scores.gather(1, columns[:, None])[:, 0]
        found = (digests, columns, predicted, highest.float(), own.float())
        return cls(*(tensor.cpu() for tensor in found))

    @classmethod
    def load(cls, part: Tensors) -> Self:
        """Restore a part of a version."""
        return cls(**part)

    def part(self) -> Tensors:
        """Return the tensors as a version stores them."""
        return self._asdict()

    def ordered(self) -> list[Judgement]:
        """Return each image's judgement, the most surely wrong first."""
        names = [bytes(digest).hex() for digest in self.digests.numpy()]
        rows = zip(names, *(tensor.tolist() for tensor in self[1:]), strict=True)
        return sorted((Judgement(*row) for row in rows), key=lambda judgement: judgement.rank)


class LeftOut(NamedTuple):
    """Predictions of n images that were trained on, each left out of what judges it.

    `columns` [n] are their classes, `digests` uint8 [n, 32] their SHA-256: zeros where it is not
    known, None where it is not of any.
    """

    output: Output
    columns: Tensor
    digests: Tensor | None

    def judged(self) -> Judged | None:
        """Return what is said of those images that are known by their SHA-256."""
        if self.digests is None:
            return None
        known = (self.digests != 0).any(dim=1)  # `any` alone keeps uint8, which indexes otherwise
        found = (self.output.log_scores[known], self.columns[known], self.digests[known])
        return Judged.of(*found) if bool(known.any()) else None


def usual_scores(sets: Sequence[Judged], classes: int) -> list[float | None]:
    """Return for each class the mean score that its images have for their own label.

    None where there are no images of it.
    """
    columns = torch.cat([torch.zeros(0, dtype=torch.int64), *(each.columns for each in sets)])
    own = torch.cat([torch.zeros(0), *(each.own for each in sets)]).double().exp()
    counts = torch.bincount(columns, minlength=classes).tolist()
    sums = own.new_zeros(classes).index_add_(0, columns, own).tolist()
    return [total / count if count else None for total, count in zip(sums, counts, strict=True)]


def suspects(sets: Sequence[Judged], classes: int) -> list[tuple[Judgement, int]]:
    """Return the images whose label is likely to be wrong, and the number of their set.

    The most surely wrong come first.
    """
    usual = usual_scores(sets, classes)
    found = [
        (judgement, number)
        for number, judged in enumerate(sets)
        for judgement in judged.ordered()
        if _is_suspect(judgement, usual)
    ]
    return sorted(found, key=lambda pair: pair[0].rank)


def _is_suspect(judgement: Judgement, usual: Sequence[float | None]) -> bool:
    threshold = usual[judgement.predicted]
    return judgement.wrong and threshold is not None and exp(judgement.log_score) >= threshold
