"""What methods that rehearse exemplars share: herding, and classifying by the exemplars' features.

All of it is iCaRL's (Rebuffi et al., CVPR 2017) but the discriminant.
"""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from models.classify import (
    LinearDiscriminant,
    NearestMean,
    Servable,
    Softmax,
    SoftmaxNearMeans,
    class_mean,
)
from models.errors import LearningError
from models.exemplar_discriminant import ExemplarDiscriminant
from models.methods.base import Method, Needs, OptionsT
from models.state import Tensors
from models.step import Corrected, Step


class Rehearsal(Method[OptionsT]):
    """A method that trains on new images and exemplars together, beside the network before."""

    needs = Needs(exemplars=True, teacher=True)

    means: Tensor  # [C, D], unit vectors
    # 1, but in versions of releases that fitted it.
    temperature: Tensor
    # None in versions of releases that had none.
    discriminant: ExemplarDiscriminant | None = None

    @classmethod
    def offered(cls, parts: Collection[str]) -> tuple[str, ...]:
        """Return the ways to classify, without the discriminant where a version has none."""
        return tuple(way for way in cls.classify if way != "discriminant" or way in parts)

    def begin(self, step: Step) -> None:
        """Grow the head. Raises LearningError where the budget has no room for each class."""
        budget = step.spec.memory.exemplars
        if budget is not None and budget < len(step.tasks):
            raise LearningError(
                "memory-too-small",
                f"{budget} exemplars cannot hold one image of each of {len(step.tasks)} classes: "
                "raise memory.exemplars",
            )
        super().begin(step)

    def end(self, step: Step) -> None:
        """Herd the new classes' exemplars, trim the old ones', compute all means (Alg. 4, 5, 1).

        The discriminant rests on the same features. Raises LearningError where the budget leaves a
        class without exemplars.
        """
        step.memory.select(step.features, step.spec.memory, step.pause)
        if 0 in step.memory.kept:
            raise LearningError(
                "memory-too-small",
                f"the memory budget of {step.spec.memory.megabytes} MB leaves a class without "
                "exemplars: raise memory.megabytes",
            )
        views = [self._views(step, column) for column in range(len(step.tasks))]
        self.means = torch.stack([class_mean(features) for features in views])
        self.temperature = self.means.new_ones(())
        step.pause()
        self.discriminant = ExemplarDiscriminant.of(views, sum(step.memory.kept))

    def _views(self, step: Step, column: int) -> Tensor:
        """Return the features [n, D] of a class's exemplars and, with `flip`, of their mirrors."""
        exemplars = step.memory.exemplars(column)
        features = step.features(exemplars)
        if step.spec.augment.flip:
            features = torch.cat([features, step.features(exemplars, flip=True)])
        return features

    def forget(self, columns: Sequence[int]) -> list[str]:
        """Remove rows of head and means; solve the discriminant for the classes that are left."""
        kept = [column for column in range(len(self.means)) if column not in columns]
        self.means = self.means[kept]
        self.temperature = torch.ones_like(self.temperature)
        if self.discriminant is not None:
            self.discriminant = self.discriminant.without(columns)
        return super().forget(columns)

    def correct(self, step: Step, corrected: Corrected) -> list[str]:
        """Herd the classes that get exemplars; compute means and discriminant anew, as `end`."""
        residual = super().correct(step, corrected)
        if corrected.edited:
            self.end(step)
        return residual

    def servable(self, task: int | None = None, classify: str = "auto") -> Servable:
        """Return the nearest mean or the discriminant of exemplars, or the head.

        Raises ValueError for the discriminant in a version that has none.
        """
        way, solved = self.way(classify), self.discriminant
        # What is known is told in the default way.
        deviation = None if solved is None or way != self.classify[0] else solved.deviation
        given = self.preprocess, self.network
        if way == "nearest_mean":
            return NearestMean(*given, self.means, self.temperature, deviation)
        if way == "softmax":
            return self.head() if deviation is None else SoftmaxNearMeans(*given, deviation)
        if solved is None:
            raise ValueError("this version was learnt without a discriminant")
        return LinearDiscriminant(*given, solved.weight, solved.bias, solved.temperature)

    def head(self) -> Servable:
        """Return the module that predicts with the trained head."""
        return Softmax(self.preprocess, self.network)

    def state(self) -> dict[str, Tensors]:
        """Return the network's parts and, once there are any, class means and discriminant."""
        parts = super().state()
        if hasattr(self, "means"):
            parts["means"] = {"means": self.means, "temperature": self.temperature}
        if self.discriminant is not None:
            parts["discriminant"] = self.discriminant.part()
        return parts

    def load(self, parts: dict[str, Tensors]) -> None:
        """Restore class means and discriminant."""
        if "means" in parts:
            self.means = parts["means"]["means"]
            self.temperature = parts["means"]["temperature"]
        if "discriminant" in parts:
            self.discriminant = ExemplarDiscriminant(**parts["discriminant"])
