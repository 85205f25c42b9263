"""PackNet: tasks packed into one network by pruning (Mallya & Lazebnik, CVPR 2018)."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from models.errors import LearningError
from models.methods.base import Phase
from models.methods.masked import Masked
from models.methods.masks import maskable
from models.methods.sgd import sgd_phase
from models.networks import Network, batch_norms
from models.options import Array, Fraction, SGDOptions
from models.preprocess import Preprocess
from models.state import Tensors
from models.step import Step

MAX_TASKS = 254  # owners are stored in a byte, 0 for none


class PackNetOptions(SGDOptions):
    """Options of PackNet."""

    epochs: int | None = Field(
        20,
        ge=1,
        le=10_000,
        description="Passes over the images before pruning. null: until the accuracy on held-out "
        "images stops rising, at most 200.",
    )
    batch_size: int | None = Field(
        32, ge=2, le=8192, description="Images a step; where null, 32 under 2,000 and 128 above."
    )
    lr: float | None = Field(
        None,
        gt=0,
        description="Learning rate. Where null 1e-3 as in the paper, which starts from pretrained "
        "weights, and 0.1·√(batch size / 128) without them.",
    )
    weight_decay: float = Field(0, ge=0)
    milestones: Array[Fraction] = Field(
        (0.5,), description="Fractions of training after which the learning rate falls."
    )
    retrain_epochs: int = Field(
        10, ge=1, le=10_000, description="Passes over the images after pruning."
    )
    retrain_lr: float | None = Field(
        None, gt=0, description="Rate after pruning; a tenth of the one before where null."
    )
    prune: Array[Annotated[float, Field(ge=0, lt=1)]] = Field(
        (0.5, 0.75),
        min_length=1,
        description="Share of its weights that the first, second, … task gives back to later "
        "ones; the last number holds for all further tasks.",
    )
    min_free: float = Field(
        0.01, gt=0, lt=1, description="A task is refused when a smaller share of weights is free."
    )


class PackNet(Masked[PackNetOptions]):
    """Trains the free weights, prunes the smallest of them and freezes the rest."""

    name = "packnet"
    summary = (
        "Packs tasks into one network: each owns some of the weights, for good: no forgetting."
    )
    paper = "Mallya, Lazebnik: PackNet, CVPR 2018"
    Options = PackNetOptions

    def __init__(self, options: PackNetOptions, network: Network, preprocess: Preprocess) -> None:
        super().__init__(options, network, preprocess)
        # By name of the weight. `owners` is 0 where it is free and task + 1 where a task owns it;
        # `older` has the weights of earlier tasks, and zeros elsewhere.
        self.owners: Tensors = {
            name: torch.zeros_like(weight, dtype=torch.uint8)
            for name, weight in maskable(network.backbone).items()
        }
        self.older: Tensors = {}

    def begin(self, step: Step) -> None:
        """Give all free weights to the new task.

        Raises LearningError where too few are free, or no further task can be stored.
        """
        super().begin(step)
        if self.task >= MAX_TASKS:
            raise LearningError("too-many-tasks", f"packnet holds at most {MAX_TASKS} tasks")
        weights = maskable(self.network.backbone)
        if self.free() < self.options.min_free:
            raise LearningError(
                "capacity-exhausted",
                f"only {self.free():.2%} of the weights are free, less than min_free = "
                f"{self.options.min_free:.2%}: use a larger backbone or prune more",
            )
        for name, owner in self.owners.items():
            self.older[name] = torch.where(owner > 0, weights[name].detach(), 0)
            owner[owner == 0] = self.task + 1

    def phases(self, step: Step) -> Sequence[Phase]:
        """Train the free weights, then retrain those that pruning leaves.

        The rest of the backbone (biases, batch norm) is trained by the first task only.
        """
        options, backbone = self.options, self.network.backbone
        first = not step.known
        learnt = backbone.parameters() if first else maskable(backbone).values()
        parameters = [*learnt, *self.network.head.blocks[str(self.task)].parameters()]
        frozen = [] if first else batch_norms(backbone)
        lr = None if step.spec.weights is None else 1e-3
        train = sgd_phase(options, step, parameters, default_lr=lr, own_recipe=True)
        rate = options.retrain_lr or train.optimizer.param_groups[0]["lr"] / 10
        again = options.model_copy(
            update={"lr": rate, "epochs": options.retrain_epochs, "milestones": ()}
        )
        retrain = sgd_phase(again, step, parameters, own_recipe=True)
        return [
            replace(train, name="train", frozen=frozen),
            replace(retrain, name="retrain", frozen=frozen),
        ]

    @torch.no_grad()
    def after_optimizer_step(self, step: Step, phase: Phase) -> None:
        """Restore the weights that this task does not own: momentum and decay move them."""
        for name, weight in maskable(self.network.backbone).items():
            own = self.owners[name] == self.task + 1
            weight.copy_(torch.where(own, weight, self.older[name]))

    @torch.no_grad()
    def end_phase(self, step: Step, phase: Phase) -> None:
        """Prune between training and retraining: the smallest of the task's weights become free."""
        if phase.name != "train":
            return
        task = list(dict.fromkeys(step.tasks)).index(self.task)
        share = self.options.prune[min(task, len(self.options.prune) - 1)]
        for name, weight in maskable(self.network.backbone).items():
            pruned = smallest(weight, self.owners[name] == self.task + 1, share)
            self.owners[name][pruned] = 0
            weight[pruned] = 0

    @classmethod
    def check_forget(cls, tasks: Sequence[int], columns: Sequence[int]) -> None:
        """Accept the newest task only, as a whole: a task uses the weights of all earlier ones.

        Raises LearningError.
        """
        super().check_forget(tasks, columns)
        newest = {column for column, task in enumerate(tasks) if task == tasks[-1]}
        if set(columns) != newest:
            raise LearningError(
                "cannot-forget",
                "packnet forgets its newest task as a whole and nothing else: every later task "
                f"was learnt on top of the weights of those before it; the newest is {tasks[-1]}",
            )

    @torch.no_grad()
    def forget(self, columns: Sequence[int]) -> list[str]:
        """Free the task's weights and zero them: no others were learnt from its images."""
        task = self.network.head.tasks[columns[0]]
        super().forget(columns)
        for name, weight in maskable(self.network.backbone).items():
            own = self.owners[name] == task + 1
            self.owners[name][own] = 0
            weight[own] = 0
        return []

    def own_weights(self, task: int) -> Tensors:
        """Return the weights of the task and of earlier ones, with zeros for all others."""
        if task == self.network.head.tasks[-1]:
            return {}
        weights = maskable(self.network.backbone)
        return {
            name: torch.where((owner > 0) & (owner <= task + 1), weights[name].detach(), 0)
            for name, owner in self.owners.items()
        }

    def routing_network(self) -> Network:
        """Return the network of the first task."""
        return self.network_of(self.network.head.tasks[0])

    def free_by_layer(self) -> dict[str, float]:
        """Return the share of each layer's weights that no task owns."""
        return {
            name.removesuffix(".weight"): float((owner == 0).double().mean())
            for name, owner in self.owners.items()
        }

    def free(self) -> float:
        """Return the share of all weights that no task owns."""
        free = sum(int((owner == 0).sum()) for owner in self.owners.values())
        return free / sum(owner.numel() for owner in self.owners.values())

    def report(self) -> dict[str, Any]:
        """Return the share of free weights, in all and by layer."""
        return {"free_capacity": self.free(), "free_capacity_by_layer": self.free_by_layer()}

    def warnings(self) -> list[str]:
        """Warn when there is no capacity for another task."""
        lone = super().warnings()
        if self.free() >= self.options.min_free:
            return lone
        full = (
            f"only {self.free():.2%} of the weights are free, so the next task will be refused: "
            "for more tasks make a classifier with a larger prune, or with a larger backbone"
        )
        return [*lone, full]

    def state(self) -> dict[str, Tensors]:
        """Return the network's parts, the router and the owners of the weights."""
        return super().state() | {"owners": self.owners}

    def load(self, parts: dict[str, Tensors]) -> None:
        """Restore the owners, as copies: `begin` and `forget` change them in place."""
        super().load(parts)
        self.owners = {name: owner.clone() for name, owner in parts["owners"].items()}


def smallest(weight: Tensor, own: Tensor, share: float) -> Tensor:
    """Return a mask of the smallest round(share · n) of a task's own n weights.

    Both `own` and the result are boolean, of the weight's shape. Of equal weights the first count.
    """
    positions = own.flatten().nonzero().flatten()
    order = weight.abs().flatten()[positions].argsort(stable=True)
    pruned = torch.zeros_like(own).flatten()
    pruned[positions[order[: round(share * len(order))]]] = True
    return pruned.view_as(own)
