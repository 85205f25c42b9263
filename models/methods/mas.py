"""MAS: memory aware synapses (Aljundi et al., ECCV 2018)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from models import networks
from models.batches import Batch
from models.errors import InvalidSpecError
from models.importance import (
    global_importance,
    local_importance,
    proximal_step,
    shared_parameters,
    uniform_importance,
    without_local_rule,
)
from models.methods.base import Loss, Method, Phase
from models.methods.heads import lone_class_warnings, within_task
from models.methods.sgd import sgd_phase
from models.networks import Activations, Network, batch_norms
from models.options import SGDOptions
from models.preprocess import Preprocess
from models.seeds import generator
from models.spec import Spec
from models.state import Tensors, clone
from models.step import Step


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
        2000, ge=1, le=1_000_000, description="Images that it is measured on, at most."
    )


class MAS(Method[MASOptions]):
    """Holds each weight where it was, as strongly as it mattered to the tasks before."""

    name = "mas"
    summary = "Keeps no image: holds the weights that matter to old tasks; a head for each task."
    paper = "Aljundi, Babiloni, Elhoseiny, Rohrbach, Tuytelaars: Memory Aware Synapses, ECCV 2018"
    Options = MASOptions

    def __init__(self, options: MASOptions, network: Network, preprocess: Preprocess) -> None:
        super().__init__(options, network, preprocess)
        self.shared = shared_parameters(network)
        self.anchor: Tensors = {}  # θ*: the shared parameters after the last step
        self.importance: Tensors = {}  # Ω, of the steps before

    @classmethod
    def check(cls, spec: Spec, options: MASOptions) -> None:
        """Refuse `local` where it would leave a part of the backbone free to move."""
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
        """Grow the head and remember where the weights are."""
        super().begin(step)
        device = step.compute.device
        self.importance = {name: omega.to(device) for name, omega in self.importance.items()}
        self.anchor = {name: p.detach().clone() for name, p in self.shared.items()}

    def phases(self, step: Step) -> Sequence[Phase]:
        """Train the backbone and the heads of the tasks that got images.

        After the first step batch norm stays as it is: its statistics are no parameters, so that no
        penalty could hold them.
        """
        if not step.known:
            return [sgd_phase(self.options, step.data, self.network.parameters())]
        parameters = list(self.shared.values())
        # The other heads get no gradient, but weight decay would wear them down.
        for task in sorted({step.tasks[column] for column in step.data.columns.tolist()}):
            parameters += self.network.head.blocks[str(task)].parameters()
        phase = sgd_phase(self.options, step.data, parameters)
        return [replace(phase, frozen=batch_norms(self.network))]

    def view(self, step: Step, logits: Tensor, columns: Tensor) -> Tensor:
        """Return the logits of each image's own head, those of others out of the softmax."""
        return within_task(logits, columns, step.tasks)

    def loss(self, step: Step, batch: Batch, outputs: Activations) -> Loss:
        """Return softmax cross-entropy within the task."""
        logits = self.view(step, outputs.logits, batch.columns)
        return Loss(functional.cross_entropy(logits, batch.columns))

    def after_step(self, step: Step, phase: Phase) -> None:
        """Draw the weights back to where they were (eq. 4, taken implicitly).

        Momentum m lets a gradient of the loss act 1/(1 − m) times in all, so the pull does too:
        the two then balance where the penalised loss has its minimum.
        """
        lr = phase.optimizer.param_groups[0]["lr"] / (1 - self.options.momentum)
        proximal_step(self.shared, self.anchor, self.importance, self.options.strength, lr)

    def end(self, step: Step) -> None:
        """Add this step's importance to that of the steps before."""
        found = self._measure(step)
        before = self.importance
        self.importance = {n: before[n] + new if before else new for n, new in found.items()}

    def forget(self, columns: Sequence[int]) -> list[str]:
        """Drop rows of the heads; Ω is a sum over images that cannot be taken apart.

        No head but their own tasks' has learnt from their images.
        """
        touched = {self.network.head.tasks[column] for column in columns}
        super().forget(columns)
        shared = touched.intersection(self.network.head.tasks)
        return ["backbone", *(["head"] if shared else []), "importance"]

    def report(self) -> dict[str, Any]:
        """Return the mean and the largest Ω: their scale, and so λ's, is the network's own."""
        omegas = torch.cat([omega.flatten() for omega in self.importance.values()])
        return {"importance": {"mean": float(omegas.mean()), "max": float(omegas.max())}}

    def warnings(self) -> list[str]:
        """Say so where nothing will be held in place."""
        lone = lone_class_warnings(self.network.head.tasks)
        if any(bool((self.options.strength * omega).any()) for omega in self.importance.values()):
            return lone
        nothing = "strength times importance is zero for every weight: nothing holds old classes"
        return [*lone, nothing]

    def _measure(self, step: Step) -> Tensors:
        if self.options.scope == "uniform":
            return uniform_importance(self.network)
        draws = generator(step.seed, "importance")
        chosen = torch.randperm(len(step.data), generator=draws)[: self.options.max_samples]
        chosen = chosen.to(step.compute.device)
        images = step.data.images[chosen]
        if self.options.scope == "local":
            return local_importance(self.network, self.preprocess, images, step.pause)
        task_of = torch.tensor(step.tasks, device=images.device)
        own = task_of[None, :] == task_of[step.data.columns[chosen]][:, None]
        return global_importance(self.network, self.preprocess, images, own, step.pause)

    def state(self) -> dict[str, Tensors]:
        """Return the network's parts and, once there is any, Ω. θ* is the backbone itself."""
        parts = super().state()
        if self.importance:
            parts["importance"] = clone(self.importance)
        return parts

    def load(self, parts: dict[str, Tensors]) -> None:
        """Restore Ω, on the device where the network is."""
        device = self.preprocess.mean.device
        found = parts.get("importance", {})
        self.importance = {name: omega.to(device) for name, omega in found.items()}
