"""Piggyback: adapting one network to many tasks by masks (Mallya, Davis & Lazebnik, ECCV 2018)."""

from collections.abc import Sequence
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.func import functional_call

from models.batches import steps_per_epoch
from models.methods.base import Phase
from models.methods.masked import Masked
from models.methods.masks import maskable, pack, unpack
from models.methods.sgd import sgd_phase
from models.networks import Activations, Network, batch_norms
from models.options import Options, SGDOptions
from models.preprocess import Preprocess
from models.schedules import Steps
from models.state import Tensors
from models.step import Corrected, Step


class PiggybackOptions(Options):
    """Options of Piggyback; `base_…` are those of a base that is not pretrained."""

    epochs: int = Field(30, ge=1, le=10_000, description="Passes over the images for the masks.")
    batch_size: int = Field(32, ge=2, le=8192, description="Images a step.")
    lr: float = Field(1e-4, gt=0, description="Adam's rate for the masks; a tenth after half.")
    head_lr: float = Field(1e-4, gt=0, description="Adam's rate for the head; a tenth after half.")
    init: float = Field(1e-2, description="What every real-valued mask starts as.")
    threshold: float = Field(5e-3, description="A weight is used where its mask is above this.")
    bn: Literal["frozen", "per_task"] = Field(
        "frozen", description="per_task: each task has batch norm of its own, for other domains."
    )
    base_epochs: int = Field(
        70,
        ge=1,
        le=10_000,
        description="Passes over the images while the first task trains the base.",
    )
    base_lr: float | None = Field(
        None,
        gt=0,
        description="Learning rate of the base; 0.1·√(batch size / 128) where null.",
    )

    @model_validator(mode="after")
    def _starts_unmasked(self) -> Self:
        if self.init <= self.threshold:
            raise ValueError("init must be above threshold: a task starts from the whole network")
        return self


class Piggyback(Masked[PiggybackOptions]):
    """Learns which weights of a frozen base each task uses: a bit a weight."""

    name = "piggyback"
    summary = (
        "Keeps one network and learns for each task which of its weights to use: no forgetting."
    )
    paper = "Mallya, Davis, Lazebnik: Piggyback, ECCV 2018"
    Options = PiggybackOptions

    def __init__(self, options: PiggybackOptions, network: Network, preprocess: Preprocess) -> None:
        super().__init__(options, network, preprocess)
        # By name in the backbone. `packed` has the bits and the batch norm of each finished task,
        # but for one that uses the base itself.
        self.packed: dict[int, Tensors] = {}
        self.masks: Tensors = {}
        self.norms: Tensors = {}
        self.steps = 0

    def begin(self, step: Step) -> None:
        """Make masks over the frozen base, unless this task is to learn the base."""
        super().begin(step)
        if step.spec.weights is None and not step.known:
            return
        self.masks = {
            name: torch.full_like(weight, self.options.init).requires_grad_()
            for name, weight in maskable(self.network.backbone).items()
        }
        if self.options.bn == "per_task":
            self.norms = _batch_norm_tensors(self.network)

    def phases(self, step: Step) -> Sequence[Phase]:
        """Learn the base by SGD, or masks and head by Adam."""
        options = self.options
        if not self.masks:
            base = SGDOptions(epochs=options.base_epochs, lr=options.base_lr)
            return [sgd_phase(base, step, self.network.parameters())]
        self.steps = options.epochs * steps_per_epoch(len(step.data), options.batch_size)
        norms = [tensor for tensor in self.norms.values() if tensor.requires_grad]
        head = self.network.head.blocks[str(self.task)]
        groups: list[dict[str, Any]] = [
            {"params": [*self.masks.values(), *norms]},
            {"params": list(head.parameters()), "lr": options.head_lr},
        ]
        return [
            Phase(
                name="masks",
                images=step.data,
                epochs=options.epochs,
                batch_size=options.batch_size,
                optimizer=torch.optim.Adam(groups, lr=options.lr, fused=True),
                schedule=Steps((0.5,)),
                frozen=[] if self.norms else batch_norms(self.network),
            )
        ]

    def forward(self, images: Tensor) -> Activations:
        """Return the activations of images [B, 3, S, S] through the masked base."""
        if not self.masks:
            return super().forward(images)
        weights = {
            name: weight * threshold(self.masks[name], self.options.threshold)
            for name, weight in maskable(self.network.backbone).items()
        }
        features = functional_call(self.network.backbone, weights | self.norms, (images,))
        return self.network.activations(features)

    def end(self, step: Step) -> None:
        """Store the masks as bits and drop the real-valued ones."""
        if self.masks:
            bits = {name: pack(mask > self.options.threshold) for name, mask in self.masks.items()}
            self.packed[self.task] = bits | self.norms
            self.masks, self.norms = {}, {}
        super().end(step)

    def forget(self, columns: Sequence[int]) -> list[str]:
        """Remove rows of heads and router means, and the masks of tasks without a class left.

        The base stays, which without pretrained weights was learnt from the first task. Where other
        classes of a task are left, so do its masks and head, which were learnt from its images.
        """
        before = self.network.head.tasks
        shared = super().forget(columns)
        touched = {before[column] for column in columns}
        masked = touched & self.packed.keys()
        for task in masked - set(self.network.head.tasks):
            del self.packed[task]
        base = ["backbone"] if touched - masked else []
        return base + shared + (["masks"] if masked & self.packed.keys() else [])

    def correct(self, step: Step, corrected: Corrected) -> list[str]:
        """Name the masks, and the base only where a task was learnt without any."""
        residual = super().correct(step, corrected)
        tasks = self.network.head.tasks
        touched = {tasks[column] for image in corrected.images for column in image.before}
        masked = touched & self.packed.keys()
        if touched <= masked and residual:
            residual.remove("backbone")
        return residual + (["masks"] if masked else [])

    def warnings(self) -> list[str]:
        """Warn of a training too short to flip a bit: Adam moves a mask by lr per step."""
        lone = super().warnings()
        distance = self.options.init - self.options.threshold
        full_rate = 0.55 * self.steps  # half of the steps at lr, half at a tenth of it
        if not self.steps or full_rate * self.options.lr >= distance:
            return lone
        needed = round(distance / self.options.lr / 0.55)
        return [
            *lone,
            f"training took {self.steps} steps, in which no weight can be masked out, so only the "
            f"head was learnt: give more images (or more epochs, a higher lr) for about {needed} "
            "steps",
        ]

    def own_weights(self, task: int) -> Tensors:
        """Return the base's weights times the task's bits, and the task's batch norm."""
        base = maskable(self.network.backbone)
        return {
            name: base[name].detach() * unpack(own, base[name].shape) if name in base else own
            for name, own in self.packed.get(task, {}).items()
        }

    def routing_network(self) -> Network:
        """Return the base without a mask."""
        return self.network

    def state(self) -> dict[str, Tensors]:
        """Return the base, unchanged, and a part per task."""
        return super().state() | {f"task.{task}": part for task, part in self.packed.items()}

    def load(self, parts: dict[str, Tensors]) -> None:
        """Restore the tasks' bits."""
        super().load(parts)
        for task in dict.fromkeys(self.network.head.tasks):
            if f"task.{task}" in parts:
                self.packed[task] = parts[f"task.{task}"]

    def working_state(self) -> dict[str, Tensors]:
        """Return the state and, in training, the real-valued masks."""
        return self.state() | {"masks": self.masks | self.norms}

    def load_working(self, parts: dict[str, Tensors]) -> None:
        """Restore masks and batch norm in place: the optimiser refers to these tensors."""
        self.load(parts)
        with torch.no_grad():
            for name, tensor in (self.masks | self.norms).items():
                tensor.copy_(parts["masks"][name])


def threshold(real: Tensor, above: float) -> Tensor:
    """Return 1 where a real-valued mask is above a threshold, else 0, with gradient 1 throughout.

    The straight-through estimator: dL/dm_r := dL/dm, which is dL/dW_eff · W for W_eff = W · m.
    """
    hard = (real > above).to(real.dtype)
    return hard + (real - real.detach())


def _batch_norm_tensors(network: Network) -> Tensors:
    """Return copies of all tensors of batch norms, by name; scale and shift are trainable."""
    norms = batch_norms(network)
    copies: Tensors = {}
    for name, module in network.backbone.named_modules():
        if module in norms:
            for key, tensor in module.state_dict().items():
                learnt = key in dict(module.named_parameters())
                copies[f"{name}.{key}"] = tensor.clone().requires_grad_(learnt)
    return copies
