"""Analytic: a linear discriminant in closed form over frozen, pretrained features."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from models import networks
from models.classify import Output, Servable, SoftmaxNearMeans, fit_temperature
from models.discriminant import ALPHAS, DEFAULT_ALPHA, Choice, Discriminant, Statistics, choose
from models.errors import InvalidSpecError
from models.kept_features import KeptFeatures
from models.mahalanobis import Mahalanobis
from models.methods.base import Method, Phase, Setup
from models.networks import Network
from models.networks.projected import Projected
from models.options import Options
from models.spec import Spec
from models.state import Tensors
from models.step import Step


class AnalyticOptions(Options):
    """Options of analytic."""

    dimensions: int = Field(1024, ge=16, le=8192, description="Features of an image, at most: M.")
    grid: int = Field(
        2,
        ge=0,
        le=4,
        description="The levels in the middle are also pooled to grid × grid positions, which tell "
        "where something is; 0: not.",
    )
    alpha: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Shrinkage of the covariance, 1 being the nearest mean; chosen by leaving "
        "images out one by one where null.",
    )
    forgettable: Literal["features", "nothing"] = Field(
        "features",
        description="features: 2·M bytes are kept of each image, with which its class can be "
        "forgotten exactly. nothing: no image leaves anything of its own.",
    )


class Analytic(Method[AnalyticOptions]):
    """Adds up features of a pretrained network, which never changes, and solves for the head."""

    name = "analytic"
    summary = "Trains nothing: learns in seconds, in any order, on a pretrained network."
    paper = "linear discriminant analysis (Fisher 1936) with shrinkage, over features of all levels"
    setup = Setup("efficientnet_lite0", "DEFAULT", image_size=None)
    Options = AnalyticOptions
    job_phase = "extracting"

    statistics: Statistics | None = None
    choice: Choice | None = None
    # None in versions of releases that had no distances.
    deviation: Mahalanobis | None = None

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        # None where nothing is kept of single images.
        self.kept = KeptFeatures() if self.options.forgettable == "features" else None

    @classmethod
    def check(cls, spec: Spec, options: AnalyticOptions) -> None:
        """Refuse random weights: nothing else is ever learnt in the network."""
        if spec.weights is None:
            raise InvalidSpecError(
                "/weights",
                "analytic trains no network, so it needs pretrained weights: set weights to "
                "DEFAULT, with a backbone for which GET /v1/backbones lists weights",
            )
        if spec.regularizer is not None:
            raise InvalidSpecError(
                "/regularizer", "analytic has no training to regularize: leave it out"
            )

    @classmethod
    def prepare(cls, spec: Spec, network: Network) -> Network:
        """Return a network whose features are the backbone's levels, projected."""
        options = AnalyticOptions.model_validate(spec.options)
        channels = networks.level_channels(spec.backbone, spec.image_size)
        return Network(
            Projected(network.backbone, channels, options.dimensions, options.grid, spec.seed)
        )

    def phases(self, step: Step) -> Sequence[Phase]:
        """Return none: nothing is trained."""
        return []

    def end(self, step: Step) -> None:
        """Add the new images' features to the statistics, and solve."""
        columns, classes = step.data.columns, len(step.tasks)
        # Rounded as they are kept, so that what is forgotten is what was added.
        features = step.pooled(torch.arange(len(step.data)), whole=True).half()
        added = Statistics.of(features, columns, classes)
        self.statistics = added if self.statistics is None else self.statistics + added
        if self.kept is not None:
            self.kept.add(features, columns, step.digests, classes)
            features, columns = self.kept.all()
        self._solve(self.statistics, features, columns)

    def _solve(self, statistics: Statistics, features: Tensor, columns: Tensor) -> None:
        """Fill the head, with α and τ chosen by leaving out images of `features` [n, M]."""
        discriminant = Discriminant(statistics)
        alphas = ALPHAS if self.options.alpha is None else (self.options.alpha,)
        # Where no image can be left out: as before.
        before = self.choice or Choice(self.options.alpha or DEFAULT_ALPHA, 1.0, 0, 0)
        self.choice = choose(discriminant, features, columns, alphas) or before
        weight, bias = discriminant.solve(self.choice.alpha)
        self.deviation = Mahalanobis.of(discriminant, self.choice.alpha)
        first = 0
        for block in self.network.head.blocks.values():
            rows = slice(first, first + block.out_features)
            with torch.no_grad():
                block.weight.copy_(weight[rows] / self.choice.temperature)
                block.bias.copy_(bias[rows] / self.choice.temperature)
            first = rows.stop

    def calibrate(self, held_out: Output, columns: Tensor) -> Output:
        """Fit τ to held-out images."""
        temperature = fit_temperature(-held_out.log_scores, columns)
        for block in self.network.head.blocks.values():
            with torch.no_grad():
                block.weight.div_(temperature)
                block.bias.div_(temperature)
        calibrated = (held_out.log_scores / temperature).log_softmax(dim=1)
        return held_out._replace(log_scores=calibrated)

    def forget(self, columns: Sequence[int]) -> list[str]:
        """Subtract what the classes added: exactly, where their features were kept.

        Else all classes' covariance still has the images of the forgotten ones in it.
        """
        assert self.statistics is not None  # noqa: S101 - there are classes to forget
        self.network.head.remove(columns)
        none = self.statistics.sums.new_zeros(0, self.statistics.sums.shape[1])
        if self.kept is None:
            self.statistics = self.statistics.without(columns, none)
            self._solve(self.statistics, none, none[:, 0].long())
            return ["analytic"]
        forgotten = torch.cat([none, *self.kept.of(columns)])
        self.statistics = self.statistics.without(columns, forgotten)
        self.kept = self.kept.without(columns)
        self._solve(self.statistics, *self.kept.all())
        return []

    def report(self) -> dict[str, Any]:
        """Return α, and how many left-out images got the right class."""
        if self.choice is None or not self.choice.images:
            return {} if self.choice is None else {"alpha": self.choice.alpha}
        accuracy = self.choice.hits / self.choice.images
        left_out = {"accuracy": accuracy, "images": self.choice.images}
        return {"alpha": self.choice.alpha, "leave_one_out": left_out}

    def servable(self, task: int | None = None, classify: str = "auto") -> Servable:
        """Return softmax over the head, with the distances to the classes."""
        if self.deviation is None:
            return super().servable(task, classify)
        self.way(classify)
        return SoftmaxNearMeans(self.preprocess, self.network, self.deviation)

    def state(self) -> dict[str, Tensors]:
        """Return the network's parts, the statistics and each class's features, step by step."""
        parts = super().state()
        if self.statistics is None or self.choice is None:
            return parts
        sums = self.statistics
        chosen = torch.tensor([self.choice.alpha, self.choice.temperature], dtype=torch.float64)
        parts["analytic"] = {
            "counts": sums.counts,
            "sums": sums.sums,
            "scatter": sums.scatter,
            "chosen": chosen,
        }
        if self.deviation is not None:
            parts["deviation"] = self.deviation.state()
        return parts if self.kept is None else parts | dict(self.kept.parts())

    def load(self, parts: dict[str, Tensors]) -> None:
        """Restore the statistics and the features."""
        if "analytic" not in parts:
            return
        part = parts["analytic"]
        self.statistics = Statistics(part["counts"], part["sums"], part["scatter"])
        alpha, temperature = part["chosen"].tolist()
        self.choice = Choice(alpha, temperature, 0, 0)
        if "deviation" in parts:
            self.deviation = Mahalanobis(**parts["deviation"])
        if self.kept is not None:
            self.kept = KeptFeatures.load(parts, len(self.statistics.counts))
