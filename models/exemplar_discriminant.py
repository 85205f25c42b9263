"""The linear discriminant over the exemplars' features: a way to classify beside their means."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from models.discriminant import Discriminant
from models.mahalanobis import UnitMahalanobis
from models.state import Tensors


def shrinkage(exemplars: float) -> float:
    """Return α for a mean number of exemplars a class: 0.5 up to 8, 0.1 from 20, linear between.

    It is not chosen by leaving exemplars out: the network was trained on them, so that their
    features scatter less than those of new images.
    """
    return 0.5 - 0.4 * min(max((exemplars - 8) / 12, 0.0), 1.0)


@dataclass(frozen=True)
class ExemplarDiscriminant:
    """The discriminant of C classes, and the features that it follows from.

    `features` [N, D] are of exemplars and their mirror images, class by class, L2-normalised, in
    float16; `counts` [C] how many each class has; `alpha` is a scalar. The scores of normalised
    features z are (`weight` z + `bias`) / `temperature`, with weights [C, D] and biases [C];
    the temperature is 1, but in versions of releases that fitted it. `root` [D, D] and `centres`
    [C, D] are a `UnitMahalanobis`; versions of older releases have none.
    """

    features: Tensor
    counts: Tensor
    alpha: Tensor
    weight: Tensor
    bias: Tensor
    temperature: Tensor
    root: Tensor | None = None
    centres: Tensor | None = None

    @classmethod
    def of(cls, views: Sequence[Tensor], exemplars: int) -> Self:
        """Solve for classes of L2-normalised features [n, D], which rest on `exemplars` in all."""
        counts = torch.tensor([len(features) for features in views], device=views[0].device)
        alpha = torch.tensor(shrinkage(exemplars / len(views)), dtype=torch.float64)
        # Rounded as they are kept, so that forgetting leaves what the rest alone would give.
        return cls._solved(torch.cat(list(views)).half(), counts, alpha.to(counts.device))

    @classmethod
    def _solved(cls, features: Tensor, counts: Tensor, alpha: Tensor) -> Self:
        columns = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
        discriminant = Discriminant.of(features, columns, len(counts))
        weight, bias = discriminant.solve(float(alpha))
        distances = UnitMahalanobis.of(discriminant, float(alpha))
        # What all classes have in common changes no score; without it, float32 keeps more digits
        # of what they differ in.
        weight, bias = (weight - weight.mean(dim=0)).float(), (bias - bias.mean()).float()
        one = torch.ones_like(bias[0])
        return cls(features, counts, alpha, weight, bias, one, distances.root, distances.means)

    def without(self, columns: Sequence[int]) -> "ExemplarDiscriminant":
        """Return the discriminant of the other classes, solved anew from their features."""
        kept = [column for column in range(len(self.counts)) if column not in columns]
        parts = self.features.split(self.counts.tolist())
        features = torch.cat([parts[column] for column in kept])
        return ExemplarDiscriminant._solved(features, self.counts[kept], self.alpha)

    def part(self) -> Tensors:
        """Return the tensors, from which `ExemplarDiscriminant(**part)` restores it."""
        return {name: tensor for name, tensor in vars(self).items() if tensor is not None}

    @property
    def deviation(self) -> UnitMahalanobis | None:
        """The distances to the classes, None in versions of releases that had none."""
        if self.root is None or self.centres is None:
            return None
        return UnitMahalanobis(self.root, self.centres)
