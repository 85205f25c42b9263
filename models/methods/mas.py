"""MAS: memory aware synapses (Aljundi et al., ECCV 2018)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from pydantic import Field

from models import networks
from models.errors import InvalidSpecError
from models.importance import (
    global_importance,
    local_importance,
    proximal_step,
    shared_parameters,
    uniform_importance,
    without_local_rule,
)
from models.methods.base import Phase
from models.methods.heads import TaskHeads, rivals
from models.methods.sgd import sgd_phase
from models.networks import Network, batch_norms
from models.options import SGDOptions
from models.preprocess import Preprocess
from models.seeds import generator
from models.spec import Spec
from models.state import Tensors
from models.step import Corrected, Step


class MASOptions(SGDOptions):
    """Options of MAS."""

    strength: float = Field(
        1.0,
        ge=0,
        le=1e9,
        description="λ: how strongly the weights that matter to old tasks are held in place.",
    )
    scope: Literal["global", "local", "uniform"] = Field(
        "global",
        description="How a weight's importance is measured. global: by the gradient of the "
        "network's output, as in the paper. local: layer by layer, without a backward pass. "
        "uniform: not at all, every weight is held alike; the baseline of the others.",
    )
    max_samples: int = Field(
        2000,
        ge=1,
        le=1_000_000,
        description="Largest number of images that importance is measured on.",
    )


class MAS(TaskHeads[MASOptions]):
    """Holds each weight in place, as strongly as it mattered to earlier tasks."""

    name = "mas"
    summary = "Keeps no image: holds the weights that matter to old tasks; a head for each task."
    paper = "Aljundi, Babiloni, Elhoseiny, Rohrbach, Tuytelaars: Memory Aware Synapses, ECCV 2018"
    Options = MASOptions

    def __init__(self, options: MASOptions, network: Network, preprocess: Preprocess) -> None:
        super().__init__(options, network, preprocess)
        self.shared = shared_parameters(network)
        self.anchor: Tensors = {}  # θ*: the shared parameters after the last step
        self.importance: Tensors = {}  # Ω, of all earlier steps

    @classmethod
    def check(cls, spec: Spec, options: MASOptions) -> None:
        """Refuse AdamW, and `local` where part of the backbone would have no importance."""
        if options.optimizer != "sgd":
            raise InvalidSpecError(
                "/options/optimizer",
                "mas pulls weights back by the rate that SGD moves them at, and "
                f"{options.optimizer} gives each weight a rate of its own: use sgd",
            )
        if options.scope != "local":
            return
        unruled = without_local_rule(networks.outline(spec.backbone))
        if unruled:
            raise InvalidSpecError(
                "/options/scope",
                f"local importance knows convolutions and linear layers, and {spec.backbone} has "
                f"other weights ({unruled[0]}): use global",
            )

    def begin(self, step: Step) -> None:
        """Grow the head and store the shared parameters as the anchor θ*."""
        super().begin(step)
        self.anchor = {name: p.detach().clone() for name, p in self.shared.items()}

    def phases(self, step: Step) -> Sequence[Phase]:
        """Train the backbone and the heads of the tasks that got images.

        After the first step batch norm is frozen: its statistics are not parameters, so no penalty
        could hold them.
        """
        if not step.known:
            return [sgd_phase(self.options, step, self.network.parameters())]
        parameters = list(self.shared.values())
        # The other heads get no gradient, but weight decay would shrink them.
        for task in sorted({step.tasks[column] for column in step.data.columns.tolist()}):
            parameters += self.network.head.blocks[str(task)].parameters()
        phase = sgd_phase(self.options, step, parameters)
        return [replace(phase, frozen=batch_norms(self.network))]

    def after_optimizer_step(self, step: Step, phase: Phase) -> None:
        """Pull the weights back towards the anchor (eq. 4, taken implicitly).

        Momentum m lets a gradient of the loss act 1/(1 − m) times in all, so the pull is scaled
        alike: the two then balance where the penalised loss has its minimum.
        """
        lr = phase.optimizer.param_groups[0]["lr"] / (1 - self.options.momentum)
        proximal_step(self.shared, self.anchor, self.importance, self.options.strength, lr)

    def end(self, step: Step) -> None:
        """Add this step's importance to that of earlier steps."""
        found = self._measure(step)
        before = self.importance
        self.importance = {n: before[n] + new if before else new for n, new in found.items()}

    def forget(self, columns: Sequence[int]) -> list[str]:
        """Remove rows of the heads; Ω stays, since its sum over images cannot be taken apart.

        Only the heads of their own tasks have learnt from their images.
        """
        touched = {self.network.head.tasks[column] for column in columns}
        super().forget(columns)
        shared = touched.intersection(self.network.head.tasks)
        return ["backbone", *(["head"] if shared else []), "importance"]

    def correct(self, step: Step, corrected: Corrected) -> list[str]:
        """Name Ω as well: it was measured on the images, whatever their labels."""
        residual = super().correct(step, corrected)
        return [*residual, "importance"] if residual else []

    def report(self) -> dict[str, Any]:
        """Return the mean and the largest Ω: λ has to suit their scale, which is the network's."""
        omegas = torch.cat([omega.flatten() for omega in self.importance.values()])
        return {"importance": {"mean": float(omegas.mean()), "max": float(omegas.max())}}

    def warnings(self) -> list[str]:
        """Warn where nothing will be held in place."""
        lone = super().warnings()
        if any(bool((self.options.strength * omega).any()) for omega in self.importance.values()):
            return lone
        nothing = (
            "the importance of every weight times strength is zero, so nothing will hold these "
            "classes in later steps: give a strength above 0, or start again with a smaller lr"
        )
        return [*lone, nothing]

    def _measure(self, step: Step) -> Tensors:
        if self.options.scope == "uniform":
            return uniform_importance(self.network)
        draws = generator(step.seed, "importance")
        chosen = torch.randperm(len(step.data), generator=draws)[: self.options.max_samples]
        images = step.data.as_sent(chosen)
        if self.options.scope == "local":
            return local_importance(self.network, self.preprocess, images, step.pause)
        own = rivals(step.data.columns[chosen], step.task_of)
        return global_importance(self.network, self.preprocess, images, own, step.pause)

    def state(self) -> dict[str, Tensors]:
        """Return the network's parts and, once there is any, Ω. θ* is the backbone itself."""
        parts = super().state()
        if self.importance:
            parts["importance"] = self.importance
        return parts

    def load(self, parts: dict[str, Tensors]) -> None:
        """Restore Ω."""
        self.importance = parts.get("importance", {})
