"""The linear discriminant in closed form: Gaussian classes that share a covariance.

An image with features z gets the score wᵀz + b of each class, for μ the class's mean of n features
and S the pooled covariance within classes::

    R = (1 − α)·S + α·tr(S)/M·I        w = R⁻¹μ        b = −½ μᵀw + ½ tr(R⁻¹S)/n

The last term corrects for μ being an estimate: in a class of few images, the mean is farther from
the origin than the class is. (Fisher, 1936; the shrinkage is Ledoit and Wolf's, 2004, with α chosen
by data.) All of it follows from sums over images, in any order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional

from models.classify import fit_temperature

# The values of α that are tried.
ALPHAS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8)
# Where nothing can be tried.
DEFAULT_ALPHA = 0.1

# Images that α is chosen by. More cost time and change nothing.
_JUDGED = 5000
# A spread that is smaller than this part of the features is none.
_ROUNDING = 1e-12
# Rows of a batch of left-out images, since each has M numbers of its own.
_ROWS = 1024
# Images whose features are added up at a time, in float64.
_ADDED = 4096
# Within a span of more dimensions than this part of M, solving takes as long as in all.
_SPAN = 0.8


@dataclass(frozen=True)
class Statistics:
    """Sums over the images of C classes, in float64.

    `counts` [C] are the images of each class, `sums` [C, M] their features added and `scatter`
    [M, M] is Σ zzᵀ over all images.
    """

    counts: Tensor
    sums: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, features: Tensor, columns: Tensor, classes: int) -> Self:
        """Return the sums over features [n, M] of images of classes `columns` [n]."""
        size = features.shape[1]
        sums = features.new_zeros(classes, size, dtype=torch.float64)
        scatter = features.new_zeros(size, size, dtype=torch.float64)
        for part, own in zip(features.split(_ADDED), columns.split(_ADDED), strict=True):
            rows = part.double()
            sums.index_add_(0, own, rows)
            scatter.addmm_(rows.T, rows)
        return cls(torch.bincount(columns, minlength=classes).to(sums), sums, scatter)

    def __add__(self, other: "Statistics") -> "Statistics":
        """Return the sums over the images of both. Columns that one lacks have no images in it."""
        classes = max(len(self.counts), len(other.counts))
        left, right = self._padded(classes), other._padded(classes)
        return Statistics(
            left.counts + right.counts, left.sums + right.sums, left.scatter + right.scatter
        )

    def _padded(self, classes: int) -> "Statistics":
        missing = classes - len(self.counts)
        counts = torch.cat([self.counts, self.counts.new_zeros(missing)])
        sums = torch.cat([self.sums, self.sums.new_zeros(missing, self.sums.shape[1])])
        return Statistics(counts, sums, self.scatter)

    def without(self, columns: Sequence[int]) -> "Statistics":
        """Return the sums without classes, whose images stay in the scatter; others close up."""
        kept = [column for column in range(len(self.counts)) if column not in columns]
        return Statistics(self.counts[kept], self.sums[kept], self.scatter)


class Discriminant:
    """The discriminant of statistics in which every class has an image.

    All is computed in the basis of S's eigenvectors, where every R is diagonal. `basis` [M, r] has
    those that images reach: r is M, or the number of images where it is less. Every mean is in it.
    """

    def __init__(self, statistics: Statistics, span: Tensor | None = None) -> None:
        """Take statistics of features [n, M], or of their coordinates in `span` [M, r]."""
        self.counts = statistics.counts
        means = statistics.sums / self.counts[:, None]
        spread = statistics.scatter - statistics.sums.T @ means
        # Images less the classes' means: what S rests on.
        self.freedom = int(self.counts.sum()) - len(self.counts)
        values, vectors = torch.linalg.eigh(spread / max(self.freedom, 1))
        self.values = values.clamp_min(0)
        self.means = means @ vectors
        self.basis = vectors if span is None else span @ vectors
        # Equal images differ by rounding alone.
        self.least = float(statistics.scatter.trace() / self.counts.sum()) * _ROUNDING

    @classmethod
    def of(cls, features: Tensor, columns: Tensor, classes: int) -> Self:
        """Return that of all images there are: features [n, M] of classes `columns` [n].

        Few images are solved within what they span: in n³ operations, not M³.
        """
        if len(features) > _SPAN * features.shape[1]:
            return cls(Statistics.of(features, columns, classes))
        span, coordinates = torch.linalg.qr(features.double().T)
        return cls(Statistics.of(coordinates.T, columns, classes), span)

    def solve(self, alpha: float) -> tuple[Tensor, Tensor]:
        """Return the weights [C, M] and biases [C] of the classes' scores.

        Where no class has two different images, they are those of the nearest mean.
        """
        diagonal = self._diagonal(alpha)
        if diagonal is None:
            return self.means @ self.basis.T, -0.5 * self.means.square().sum(dim=1)
        inverse = 1 / diagonal
        weight = self.means * inverse
        bias = -0.5 * (self.means * weight).sum(dim=1)
        return weight @ self.basis.T, bias + 0.5 * (inverse * self.values).sum() / self.counts

    def whitened(self, alpha: float) -> tuple[Tensor, Tensor]:
        """Return R^(−½) [M, M], and the means [C, M] times it; R is I where no images differ."""
        diagonal = self._diagonal(alpha)
        scale = torch.ones_like(self.values) if diagonal is None else diagonal.rsqrt()
        # Across the basis S is 0 and every image differs by the ridge alone.
        across = 1.0 if diagonal is None else self._ridge(alpha, self.values.sum()).rsqrt()
        root = (self.basis * (scale - across)) @ self.basis.T
        root.diagonal().add_(across)
        return root, self.means * scale @ self.basis.T

    def _diagonal(self, alpha: float) -> Tensor | None:
        """Return R [M] in the basis, None where no class has two different images."""
        trace = self.values.sum()
        if self.freedom < 1 or float(trace) <= self.least:
            return None
        diagonal: Tensor = (1 - alpha) * self.values + self._ridge(alpha, trace)
        return diagonal

    def _ridge(self, alpha: float, trace: Tensor) -> Tensor:
        """Return what α adds to every eigenvalue of S, whose trace is given."""
        return alpha * trace / len(self.basis)

    def rotated(self, features: Tensor) -> Tensor:
        """Return features [n, M] in the basis: [n, r]."""
        rotated: Tensor = features.double() @ self.basis
        return rotated

    def left_out(self, rotated: Tensor, columns: Tensor, alpha: float) -> Tensor:
        """Return the scores [n, C] of images where each is left out: see `judged_without`."""
        batches = zip(rotated.split(_ROWS), columns.split(_ROWS), strict=True)
        return torch.cat([self._judged_without(rows, own, alpha)[0] for rows, own in batches])

    def judged_without(
        self, features: Tensor, columns: Tensor, alpha: float
    ) -> tuple[Tensor, Tensor]:
        """Return the scores and squared Mahalanobis distances [n, C] of images.

        Each is left out of the statistics that judge it. `features` [n, M] are of images that the
        statistics contain, `columns` [n] their classes, which have two images or more. Equal to
        solving anew without each image, by the formula of Sherman and Morrison: without it S loses
        a matrix of rank one.
        """
        batches = zip(features.split(_ROWS), columns.split(_ROWS), strict=True)
        found = [self._judged_without(self.rotated(rows), own, alpha) for rows, own in batches]
        scores, squared = zip(*found, strict=True)
        return torch.cat(scores), torch.cat(squared)

    def _judged_without(self, rows: Tensor, columns: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
        own = self.counts[columns]
        delta = rows - self.means[columns]
        freedom, freedom_left = self.freedom, max(self.freedom - 1, 1)
        # S' = (freedom·S − lost·δδᵀ) / freedom_left
        lost = own / (own - 1)
        trace = (freedom * self.values.sum() - lost * delta.square().sum(dim=1)) / freedom_left
        spread = (trace > self.least) & (self.freedom > 1)
        # R' = B − v·δδᵀ, with B diagonal.
        v = torch.where(spread, (1 - alpha) * lost / freedom_left, 0)[:, None]
        within = (1 - alpha) * freedom / freedom_left * self.values
        diagonal = within + self._ridge(alpha, trace)[:, None]
        inverse = torch.where(spread[:, None], 1 / diagonal, 1.0)
        # Products by B⁻¹: of the means with the image, with themselves, and with δ.
        scaled = rows * inverse
        with_image = scaled @ self.means.T
        with_self = inverse @ self.means.square().T
        with_delta = (delta * inverse) @ self.means.T
        delta_image = (delta * scaled).sum(dim=1, keepdim=True)
        delta_self = (delta.square() * inverse).sum(dim=1, keepdim=True)
        # The image's own class has the mean μ − δ/(n − 1).
        is_own = functional.one_hot(columns, len(self.counts)).bool()
        step = 1 / (own - 1)[:, None]
        moved = with_self - 2 * step * with_delta + step.square() * delta_self
        with_self = torch.where(is_own, moved, with_self)
        with_image = torch.where(is_own, with_image - step * delta_image, with_image)
        with_delta = torch.where(is_own, with_delta - step * delta_self, with_delta)
        more = v / (1 - v * delta_self)
        inner = with_image + more * with_delta * delta_image
        norms = with_self + more * with_delta.square()
        own_norm = (rows * scaled).sum(dim=1, keepdim=True) + more * delta_image.square()
        squared = (own_norm - 2 * inner + norms).clamp_min(0)
        scores = inner - 0.5 * norms
        # tr(R'⁻¹S'), for the correction.
        of_spread = (inverse * self.values).sum(dim=1, keepdim=True)
        of_spread += more * (inverse.square() * self.values * delta.square()).sum(
            dim=1, keepdim=True
        )
        of_delta = delta_self + more * delta_self.square()
        trace_left = (freedom * of_spread - lost[:, None] * of_delta) / freedom_left
        counts = torch.where(is_own, own[:, None] - 1, self.counts)
        correction = torch.where(spread[:, None], 0.5 * trace_left / counts, 0)
        return scores + correction, squared


class Choice(NamedTuple):
    """α and the temperature τ; `hits` of `images` left-out images got the right class."""

    alpha: float
    temperature: float
    images: int
    hits: int


def choose(
    discriminant: Discriminant, features: Tensor, columns: Tensor, alphas: Sequence[float] = ALPHAS
) -> Choice | None:
    """Return the α and τ of greatest likelihood for images that are left out one by one.

    `features` [n, M] are of images that the discriminant rests on, of classes `columns` [n]. The
    only image of a class cannot be left out; None where there are no others, or a single class.
    """
    judged = to_leave_out(features, columns, discriminant.counts)
    columns = columns[judged]
    if not len(columns) or len(discriminant.counts) == 1:
        return None
    rotated = discriminant.rotated(features[judged])
    best, least = None, float("inf")
    for alpha in alphas:
        scores = discriminant.left_out(rotated, columns, alpha)
        temperature = fit_temperature(-scores, columns)
        cost = float(functional.cross_entropy(scores / temperature, columns))
        if cost < least:
            hits = int((scores.argmax(dim=1) == columns).sum())
            best, least = Choice(alpha, temperature, len(columns), hits), cost
    return best


def to_leave_out(features: Tensor, columns: Tensor, counts: Tensor, most: int = _JUDGED) -> Tensor:
    """Return the positions of images to leave out, about `most` at most, evenly by class.

    Which they are does not depend on the order of the images. The only image of a class is not
    among them.
    """
    each = max(1, most // len(counts))
    positions = []
    for column in range(len(counts)):
        own = (columns == column).nonzero().flatten()
        if counts[column] < 2:
            continue
        # By all of the features: in half precision many images share the first.
        own = own[features[own].unique(dim=0, return_inverse=True)[1].argsort(stable=True)]
        positions.append(own[torch.linspace(0, len(own) - 1, min(each, len(own))).long()])
    return torch.cat(positions) if positions else columns[:0]
