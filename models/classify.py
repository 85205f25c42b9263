"""From images to scores: the modules that evaluation measures and `/predict` serves."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks import Network
from models.preprocess import Preprocess


class Output(NamedTuple):
    """Predictions of a batch.

    `scores` [B, C] sum to 1 over the columns considered. `distances` [B, C] are Euclidean
    distances to the class means, for nearest mean. `tasks` [B] is the task that a router chose.
    """

    scores: Tensor
    distances: Tensor | None = None
    tasks: Tensor | None = None


class Servable(nn.Module):
    """A network behind its preprocessing. Takes uint8 [B, 3, S, S]."""

    def __init__(self, preprocess: Preprocess, network: Network) -> None:
        super().__init__()
        self.preprocess = preprocess
        self.network = network


class Softmax(Servable):
    """Softmax over all columns."""

    def forward(self, images: Tensor) -> Output:
        """Return the scores of uint8 images [B, 3, S, S]."""
        return Output(self.network(self.preprocess(images)).logits.softmax(dim=1))


class TaskSoftmax(Servable):
    """Softmax over one task's block of the head; the columns of others score zero."""

    columns: Tensor

    def __init__(self, preprocess: Preprocess, network: Network, task: int) -> None:
        super().__init__(preprocess, network)
        self.task = task
        columns = torch.tensor(network.head.tasks) == task
        self.register_buffer("columns", columns.to(network.head.weight.device))

    def forward(self, images: Tensor) -> Output:
        """Return the scores of uint8 images [B, 3, S, S]."""
        features = self.network.backbone(self.preprocess(images))[1]
        # The block alone: how many tasks came later must not even show in the rounding.
        found = self.network.head.blocks[str(self.task)](features).softmax(dim=1)
        scores = found.new_zeros(len(images), len(self.columns))
        scores[:, self.columns] = found
        return Output(scores)


class Sigmoid(Servable):
    """Independent sigmoids, scaled to sum to 1: iCaRL's own head ("hybrid1" in the paper)."""

    def forward(self, images: Tensor) -> Output:
        """Return the scores of uint8 images [B, 3, S, S]."""
        # In log space: a head that is sure of nothing must not divide zero by zero.
        logs = functional.logsigmoid(self.network(self.preprocess(images)).logits)
        return Output(logs.softmax(dim=1))


class NearestMean(Servable):
    """Nearest mean of exemplars (iCaRL Alg. 1): scores are softmax(−distance²/τ).

    `means` [C, D] are unit vectors, `temperature` τ a scalar.
    """

    means: Tensor
    temperature: Tensor

    def __init__(
        self, preprocess: Preprocess, network: Network, means: Tensor, temperature: Tensor
    ) -> None:
        super().__init__(preprocess, network)
        self.register_buffer("means", means)
        self.register_buffer("temperature", temperature)

    def forward(self, images: Tensor) -> Output:
        """Return the scores and distances of uint8 images [B, 3, S, S]."""
        features = functional.normalize(self.network(self.preprocess(images)).features)
        squared = squared_distances(features, self.means)
        return Output((-squared / self.temperature).softmax(dim=1), distances=squared.sqrt())


class Routed(Servable):
    """A router before networks that know one task each.

    The task is that of the nearest of `means` [C, D], unit vectors of the features of `network`;
    the expert of that task says what the image is.
    """

    means: Tensor

    def __init__(
        self,
        preprocess: Preprocess,
        network: Network,
        means: Tensor,
        experts: Sequence[TaskSoftmax],
    ) -> None:
        super().__init__(preprocess, network)
        self.register_buffer("means", means.to(network.head.weight.device))
        self.experts: list[TaskSoftmax] = nn.ModuleList(experts)  # type: ignore[assignment]

    def forward(self, images: Tensor) -> Output:
        """Return the scores of uint8 images [B, 3, S, S] and the task chosen for each."""
        features = functional.normalize(self.network.backbone(self.preprocess(images))[1])
        nearest = squared_distances(features, self.means).argmin(dim=1)
        scores = features.new_zeros(len(images), len(self.means))
        tasks = torch.zeros_like(nearest)
        for expert in self.experts:
            rows = expert.columns[nearest].nonzero().flatten()
            if len(rows):
                scores[rows] = expert(images[rows]).scores
                tasks[rows] = expert.task
        return Output(scores, tasks=tasks)


def squared_distances(features: Tensor, means: Tensor) -> Tensor:
    """Return ‖φ − μ‖² [B, C] of unit features [B, D] and unit means [C, D]."""
    return (2 - 2 * features @ means.T).clamp_min(0)


def class_mean(features: Tensor) -> Tensor:
    """Return the normalised mean [D] of L2-normalised features [n, D]."""
    return functional.normalize(features.mean(dim=0), dim=0)


def restrict(scores: Tensor, columns: Tensor) -> Tensor:
    """Return scores [B, C] with all columns but a boolean [C] at zero, summing to 1 again."""
    kept = scores * columns
    return kept / kept.sum(dim=1, keepdim=True).clamp_min(torch.finfo(scores.dtype).tiny)


def fit_temperature(squared: Tensor, columns: Tensor) -> float:
    """Return the τ that makes softmax(−squared/τ) likeliest, 1 where there is nothing to fit.

    `squared` [H, C] are squared distances of held-out images, `columns` [H] their classes. The
    negative log-likelihood is convex in 1/τ, so a golden-section search finds its one minimum.
    """
    if len(squared) == 0:
        return 1.0

    def cost(inverse: float) -> float:
        return float(functional.cross_entropy(-squared.double() * inverse, columns))

    golden = (5**0.5 - 1) / 2
    low, high = 0.0, 1000.0
    for _ in range(60):
        width = golden * (high - low)
        if cost(high - width) <= cost(low + width):
            high = low + width
        else:
            low = high - width
    return 2 / (low + high)
