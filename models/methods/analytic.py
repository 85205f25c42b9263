"""Analytic: a linear discriminant in closed form over frozen, pretrained features."""

from collections.abc import Sequence
from typing import Any, Literal, cast

import torch
from pydantic import Field
from torch import Tensor

from models import networks
from models.classify import Output, Servable, SoftmaxNearMeans
from models.discriminant import (
    ALPHAS,
    DEFAULT_ALPHA,
    Choice,
    Discriminant,
    Statistics,
    choose,
    to_leave_out,
)
from models.errors import InvalidSpecError, LearningError
from models.judging import LeftOut
from models.kept_features import KeptFeatures
from models.mahalanobis import Mahalanobis
from models.methods.base import Method, Needs, Phase, Setup
from models.networks import Network
from models.networks.projected import Projected
from models.options import Options
from models.spec import Spec
from models.state import Tensors
from models.step import Corrected, Step

# Images whose label is judged by leaving them out, in each step: some seconds of work.
_LEFT_OUT = 20_000


class AnalyticOptions(Options):
    """Options of analytic."""

    dimensions: int = Field(2048, ge=16, le=8192, description="Features of an image, at most: M.")
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
    """Takes features of a pretrained network, which never changes, and solves for the head."""

    name = "analytic"
    summary = "Trains nothing: learns in seconds, in any order, on a pretrained network."
    paper = "linear discriminant analysis (Fisher 1936) with shrinkage, over features of all levels"
    needs = Needs(once=True)
    setup = Setup("efficientnet_lite0", "DEFAULT", image_size=None)
    Options = AnalyticOptions
    fixed = ("dimensions", "grid", "forgettable")
    frozen = True
    job_phase = "extracting"

    # Only where features of images are not kept, or were not from the first: else all of it
    # follows from them.
    statistics: Statistics | None = None
    choice: Choice | None = None
    # What was solved last, with images that it rests on; not stored.
    solved: tuple[Discriminant, Tensor, Tensor] | None = None
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
        return Network(Projected(network.backbone, channels, options.dimensions, options.grid))

    def begin(self, step: Step) -> None:
        """Grow the head; the first step also draws the projection, which all others keep."""
        super().begin(step)
        if not step.known:
            step.pause()
            cast(Projected, self.network.backbone).draw(step.spec.seed)

    def phases(self, step: Step) -> Sequence[Phase]:
        """Return none: nothing is trained."""
        return []

    def end(self, step: Step) -> None:
        """Add the new images' features to those before, and solve."""
        columns, classes = step.data.columns, len(step.tasks)
        # Rounded as they are kept, so that later steps solve for the same.
        features = step.extracted().half()
        if self.kept is not None:
            self.kept.add(features, columns, step.digests, classes)
            self._solve(*_solvable(self.kept))
            return
        added = Statistics.of(features, columns, classes)
        self.statistics = added if self.statistics is None else self.statistics + added
        self._solve(Discriminant(self.statistics), features, columns)

    def _solve(self, discriminant: Discriminant, features: Tensor, columns: Tensor) -> None:
        """Fill the head, with α and τ chosen by leaving out images of `features` [n, M]."""
        self.solved = discriminant, features, columns
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

    def forget(self, columns: Sequence[int]) -> list[str]:
        """Take away the classes' features: exactly, where they were kept.

        Else all classes' covariance still has the images of the forgotten ones in it.
        """
        self.network.head.remove(columns)
        if self.kept is not None:
            self._solve_anew(self.kept.without(columns))
            return []
        assert self.statistics is not None  # noqa: S101 - there are classes to forget
        none = self.statistics.sums.new_zeros(0, self.statistics.sums.shape[1])
        self.statistics = self.statistics.without(columns)
        self._solve(Discriminant(self.statistics), none, none[:, 0].long())
        return ["analytic"]

    @classmethod
    def check_correct(cls, options: AnalyticOptions) -> None:
        """Refuse where nothing is kept of single images. Raises LearningError."""
        if options.forgettable == "nothing":
            raise _nothing_kept()

    def correct(self, step: Step, corrected: Corrected) -> list[str]:
        """Move the images' features from the classes that they were in to their own.

        That is exact. Raises LearningError for images that are not kept, and where a class would
        have none left.
        """
        if self.kept is None:
            if corrected.images:
                raise _nothing_kept()
            return []
        kept = self.kept.corrected(corrected.images)
        if min(kept.counts()) < 1:
            raise LearningError(
                "cannot-correct", "no image would be left of a class: forget it instead"
            )
        self._solve_anew(kept)
        return []

    def _solve_anew(self, kept: KeptFeatures) -> None:
        """Solve as if no other images than those kept had been learnt before."""
        self.kept, self.choice = kept, None
        self._solve(*_solvable(kept))

    def left_out(self) -> LeftOut | None:
        """Return exact predictions: the statistics without an image are solved in closed form."""
        if self.choice is None:
            return None
        if self.solved is None and self.kept is not None:
            self.solved = _solvable(self.kept)
        if self.solved is None:
            return None
        discriminant, features, columns = self.solved
        chosen = to_leave_out(features, columns, discriminant.counts, _LEFT_OUT)
        if not len(chosen):
            return None
        columns = columns[chosen]
        scores, squared = discriminant.judged_without(features[chosen], columns, self.choice.alpha)
        log_scores = (scores / self.choice.temperature).log_softmax(dim=1).float()
        output = Output(log_scores.cpu(), deviations=squared.sqrt().float().cpu())
        digests = None if self.kept is None else self.kept.digests()[chosen.cpu()]
        return LeftOut(output, columns.cpu(), digests)

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

    @classmethod
    def serves(cls, part: str) -> bool:
        """Leave out what only later steps need: α and τ, sums and features."""
        return part != "analytic" and not part.startswith("features.")

    def state(self) -> dict[str, Tensors]:
        """Return the network's parts, and each class's features, step by step, or their sums."""
        parts = super().state()
        if self.choice is None:
            return parts
        chosen = torch.tensor([self.choice.alpha, self.choice.temperature], dtype=torch.float64)
        parts["analytic"] = {"chosen": chosen}
        if self.deviation is not None:
            parts["deviation"] = self.deviation.state()
        if self.kept is not None:
            return parts | dict(self.kept.parts())
        if self.statistics is not None:
            parts["analytic"] |= vars(self.statistics)
        return parts

    def load(self, parts: dict[str, Tensors]) -> None:
        """Restore the distances and, but for predictions, features or their sums."""
        if "deviation" in parts:
            self.deviation = Mahalanobis(**parts["deviation"])
        if "analytic" not in parts:
            return
        part = parts["analytic"]
        alpha, temperature = part["chosen"].tolist()
        self.choice = Choice(alpha, temperature, 0, 0)
        if self.kept is not None:
            self.kept = KeptFeatures.load(parts, len(self.network.head.tasks))
            # Older releases let a later step begin to keep features: these are not of all images.
            if "counts" in part and part["counts"].tolist() != self.kept.counts():
                self.kept = None
        if self.kept is None:
            self.statistics = Statistics(part["counts"], part["sums"], part["scatter"])


def _solvable(kept: KeptFeatures) -> tuple[Discriminant, Tensor, Tensor]:
    """Return the discriminant of all images, with their features and columns."""
    features, columns = kept.all()
    return Discriminant.of(features, columns, len(kept.by_column)), features, columns


def _nothing_kept() -> LearningError:
    return LearningError(
        "cannot-correct",
        "this version keeps nothing of single images (options.forgettable is nothing), so only "
        "held-out images can be corrected: make a classifier with forgettable: features and send "
        "the images with the right labels",
    )
