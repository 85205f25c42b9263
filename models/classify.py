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

    `log_scores` [B, C] are logarithms, so that scores too small for a float still have an order;
    -inf marks columns that were not considered. `distances` [B, C] are Euclidean distances to the
    class means, from nearest mean. `tasks` [B] are the tasks that a router chose. `deviations`
    [B, C] are distances to the class means by which an image is known or not: see `models.known`.
    """

    log_scores: Tensor
    distances: Tensor | None = None
    tasks: Tensor | None = None
    deviations: Tensor | None = None

    def of(self, rows: Tensor) -> "Output":
        """Return the predictions of some images of the batch."""
        left = (None if field is None else field[rows] for field in self[1:])
        return Output(self.log_scores[rows], *left)

    @property
    def scores(self) -> Tensor:
        """Scores [B, C], which sum to 1 over the columns considered."""
        return self.log_scores.exp()


class Servable(nn.Module):
    """A network with its preprocessing: takes uint8 images [B, 3, S, S]."""

    def __init__(self, preprocess: Preprocess, network: Network) -> None:
        super().__init__()
        self.preprocess = preprocess
        self.network = network


class Softmax(Servable):
    """Softmax over all columns."""

    def forward(self, images: Tensor) -> Output:
        """Return the scores of uint8 images [B, 3, S, S]."""
        return Output(self.network(self.preprocess(images)).logits.log_softmax(dim=1))


class SoftmaxNearMeans(Servable):
    """Softmax over all columns, and the distances [B, C] that `deviation` gives of features."""

    def __init__(self, preprocess: Preprocess, network: Network, deviation: nn.Module) -> None:
        super().__init__(preprocess, network)
        self.deviation = deviation

    def forward(self, images: Tensor) -> Output:
        """Return the scores and deviations of uint8 images [B, 3, S, S]."""
        found = self.network(self.preprocess(images))
        return Output(found.logits.log_softmax(dim=1), deviations=self.deviation(found.features))


class TaskSoftmax(Servable):
    """Softmax over one task's block of the head; the columns of others score zero."""

    columns: Tensor

    def __init__(self, preprocess: Preprocess, network: Network, task: int) -> None:
        super().__init__(preprocess, network)
        self.task = task
        self.register_buffer("columns", torch.tensor(network.head.tasks) == task)

    def forward(self, images: Tensor) -> Output:
        """Return the scores of uint8 images [B, 3, S, S]."""
        features = self.network.backbone(self.preprocess(images)).pooled
        # The block alone: later tasks must not change even the rounding.
        found = self.network.head.blocks[str(self.task)](features).log_softmax(dim=1)
        log_scores = found.new_full((len(images), len(self.columns)), -torch.inf)
        log_scores[:, self.columns] = found
        return Output(log_scores)


class Sigmoid(Servable):
    """Independent sigmoids, scaled to sum to 1: iCaRL's own head ("hybrid1" in the paper)."""

    def forward(self, images: Tensor) -> Output:
        """Return the scores of uint8 images [B, 3, S, S]."""
        logs = functional.logsigmoid(self.network(self.preprocess(images)).logits)
        return Output(logs.log_softmax(dim=1))


class NearestMean(Servable):
    """Nearest mean of exemplars (iCaRL Alg. 1): scores are softmax(−distance²/τ).

    `means` [C, D] are unit vectors, `temperature` τ a scalar. `deviation` gives distances [B, C] of
    features; without it, they are those to the means.
    """

    means: Tensor
    temperature: Tensor

    def __init__(
        self,
        preprocess: Preprocess,
        network: Network,
        means: Tensor,
        temperature: Tensor,
        deviation: nn.Module | None = None,
    ) -> None:
        super().__init__(preprocess, network)
        self.deviation = deviation
        self.register_buffer("means", means)
        self.register_buffer("temperature", temperature)

    def forward(self, images: Tensor) -> Output:
        """Return the scores and distances of uint8 images [B, 3, S, S]."""
        features = self.network(self.preprocess(images)).features
        squared = squared_distances(functional.normalize(features), self.means)
        distances = squared.sqrt()
        deviations = distances if self.deviation is None else self.deviation(features)
        log_scores = (-squared / self.temperature).log_softmax(dim=1)
        return Output(log_scores, distances=distances, deviations=deviations)


class LinearDiscriminant(Servable):
    """Linear scores of L2-normalised features: softmax((W z + b)/τ).

    `weight` [C, D] and `bias` [C] solve the discriminant, `temperature` τ is a scalar.
    """

    weight: Tensor
    bias: Tensor
    temperature: Tensor

    def __init__(
        self,
        preprocess: Preprocess,
        network: Network,
        weight: Tensor,
        bias: Tensor,
        temperature: Tensor,
    ) -> None:
        super().__init__(preprocess, network)
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.register_buffer("temperature", temperature)

    def forward(self, images: Tensor) -> Output:
        """Return the scores of uint8 images [B, 3, S, S]."""
        features = functional.normalize(self.network(self.preprocess(images)).features)
        scores = functional.linear(features, self.weight, self.bias)
        return Output((scores / self.temperature).log_softmax(dim=1))


class Routed(Servable):
    """A router before experts: networks for one task each.

    The task is that of the nearest of `means` [C, D], unit vectors in the feature space of
    `network`; that task's expert classifies the image.
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
        self.register_buffer("means", means)
        self.experts: list[TaskSoftmax] = nn.ModuleList(experts)  # type: ignore[assignment]

    def forward(self, images: Tensor) -> Output:
        """Return the scores of uint8 images [B, 3, S, S] and the task chosen for each."""
        features = functional.normalize(self.network.backbone(self.preprocess(images)).pooled)
        squared = squared_distances(features, self.means)
        nearest = squared.argmin(dim=1)
        log_scores = features.new_full((len(images), len(self.means)), -torch.inf)
        tasks = torch.zeros_like(nearest)
        for expert in self.experts:
            rows = expert.columns[nearest].nonzero().flatten()
            if len(rows):
                log_scores[rows] = expert(images[rows]).log_scores
                tasks[rows] = expert.task
        return Output(log_scores, tasks=tasks, deviations=squared.sqrt())


def squared_distances(features: Tensor, means: Tensor) -> Tensor:
    """Return ‖φ − μ‖² [B, C] of unit features [B, D] and unit means [C, D]."""
    return (2 - 2 * features @ means.T).clamp_min(0)


def class_mean(features: Tensor) -> Tensor:
    """Return the normalised mean [D] of L2-normalised features [n, D]."""
    return functional.normalize(features.mean(dim=0), dim=0)


def restrict(log_scores: Tensor, columns: Tensor) -> Tensor:
    """Return log-scores [B, C] over the columns that a boolean [C] selects, -inf for others."""
    return log_scores.masked_fill(~columns, -torch.inf).log_softmax(dim=1)


def fit_temperature(squared: Tensor, columns: Tensor) -> float:
    """Return the τ of greatest likelihood for softmax(−squared/τ), 1 where there is nothing to fit.

    `squared` [H, C] are squared distances of held-out images, `columns` [H] their classes. Labels
    are smoothed: by Laplace's rule of succession the right class has probability (H+1)/(H+2). Else
    all scores would be 0 or 1 where H images show no mistake. The negative log-likelihood is convex
    in 1/τ, so a golden-section search over τ from 10⁻³ to 10³ finds its one minimum.
    """
    images, classes = squared.shape
    if images == 0 or classes == 1:
        return 1.0
    doubt = min(classes / (classes - 1) / (images + 2), 1.0)
    logits = -squared.double()

    def cost(exponent: float) -> float:
        found = functional.cross_entropy(logits / 10**exponent, columns, label_smoothing=doubt)
        return float(found)

    golden = (5**0.5 - 1) / 2
    low, high = -3.0, 3.0
    left, right = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = cost(left), cost(right)
    for _ in range(40):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - golden * (high - low)
            at_left = cost(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + golden * (high - low)
            at_right = cost(right)
    return float(10 ** ((low + high) / 2))
