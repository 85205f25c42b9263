"""Joint training: the upper bound, which keeps every image."""

from collections.abc import Sequence

import torch

from models.classify import Servable, SoftmaxNearMeans
from models.discriminant import Discriminant, Statistics
from models.exemplar_discriminant import shrinkage
from models.mahalanobis import UnitMahalanobis
from models.methods.base import Needs
from models.methods.finetune import Finetune
from models.state import Tensors
from models.step import Step

# Images whose features are added up at once.
_ROWS = 4096


class Joint(Finetune):
    """Trains from the initial weights, on all images of all classes, at every step."""

    name = "joint"
    summary = "Keeps all images and trains on them again at every step: the upper bound."
    paper = "the baseline of Rebuffi et al., CVPR 2017, section 4"
    needs = Needs(all_images=True)

    # None in versions of releases that had no distances.
    deviation: UnitMahalanobis | None = None

    def begin(self, step: Step) -> None:
        """Reset the network to the classifier's initial weights."""
        self.network.backbone.load_state_dict(step.initial_network().backbone.state_dict())
        for task in dict.fromkeys(step.tasks):
            self.network.head.grow(task, step.tasks.count(task), step.seed)

    def end(self, step: Step) -> None:
        """Keep every image for the next step, and measure how features of each class scatter."""
        step.memory.keep_all()
        columns, classes = step.data.columns, len(step.tasks)
        statistics: Statistics | None = None
        for rows in torch.arange(len(columns)).split(_ROWS):
            added = Statistics.of(step.features(rows), columns[rows.to(columns.device)], classes)
            statistics = added if statistics is None else statistics + added
        if statistics is not None:
            alpha = shrinkage(len(columns) / classes)
            self.deviation = UnitMahalanobis.of(Discriminant(statistics), alpha)

    def forget(self, columns: Sequence[int]) -> list[str]:
        """Remove rows of head and means; the covariance is of the images of all classes."""
        shared = super().forget(columns)
        if self.deviation is None:
            return shared
        kept = [column for column in range(len(self.deviation.means)) if column not in columns]
        self.deviation = UnitMahalanobis(self.deviation.root, self.deviation.means[kept])
        return [*shared, "deviation"]

    def servable(self, task: int | None = None, classify: str = "auto") -> Servable:
        """Return softmax over the head, with the distances to the classes."""
        plain = super().servable(task, classify)
        if self.deviation is None:
            return plain
        return SoftmaxNearMeans(self.preprocess, self.network, self.deviation)

    def state(self) -> dict[str, Tensors]:
        """Return the network's parts and, once there are any, the distances'."""
        parts = super().state()
        return parts if self.deviation is None else {**parts, "deviation": self.deviation.state()}

    def load(self, parts: dict[str, Tensors]) -> None:
        """Restore the distances."""
        if "deviation" in parts:
            self.deviation = UnitMahalanobis(**parts["deviation"])
