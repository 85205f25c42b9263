"""What the methods share that give each task its own weights within one network.

Nothing of an older task ever changes. A prediction needs a task: the caller's, or the choice of a
router, which picks the nearest class mean in features that no later task changes.
"""

import copy
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from models.classify import Routed, Servable, TaskSoftmax, class_mean
from models.errors import LearningError
from models.methods.base import Needs, OptionsT
from models.methods.heads import TaskHeads, task_columns
from models.networks import Network
from models.preprocess import Preprocess
from models.state import Tensors
from models.step import Corrected, Step


class Masked(TaskHeads[OptionsT]):
    """A network of which each task uses its own weights, with a head per task and a router."""

    needs = Needs(task_id=True)

    def __init__(self, options: OptionsT, network: Network, preprocess: Preprocess) -> None:
        super().__init__(options, network, preprocess)
        self.task = 0  # the one being learnt
        self.router: dict[int, Tensor] = {}  # class means [classes, D] of each task

    @abstractmethod
    def own_weights(self, task: int) -> Tensors:
        """Return the tensors, by name, in which the task's backbone differs from the stored one."""

    @abstractmethod
    def routing_network(self) -> Network:
        """Return the network whose features the router compares; no later task changes it."""

    def begin(self, step: Step) -> None:
        """Grow the head. Raises LearningError for new images of classes learnt before."""
        if bool((step.data.columns < step.known).any()):
            raise LearningError(
                "task-is-frozen",
                f"{self.name} never changes a task once learnt, so it takes no more images of "
                "its classes",
            )
        super().begin(step)
        self.task = step.tasks[-1]

    def end(self, step: Step) -> None:
        """Compute the router's means of the new classes."""
        backbone = self.routing_network().backbone
        columns = step.data.columns
        means = [
            class_mean(step.features((columns == column).nonzero().flatten(), backbone=backbone))
            for column in task_columns(step.tasks, self.task)
        ]
        self.router[self.task] = torch.stack(means)

    def forget(self, columns: Sequence[int]) -> list[str]:
        """Remove rows of the heads and the router's means; subclasses see to the weights."""
        tasks = self.network.head.tasks
        shared = []
        for task in {tasks[column] for column in columns}:
            own = enumerate(task_columns(tasks, task))
            kept = [row for row, column in own if column not in columns]
            if kept:
                self.router[task] = self.router[task][kept]
                shared = ["head"]
            else:
                del self.router[task]
        self.network.head.remove(columns)
        return shared

    def correct(self, step: Step, corrected: Corrected) -> list[str]:
        """Name the router as well: its means are of images that are not kept."""
        residual = super().correct(step, corrected)
        return [*residual, "router"] if residual else []

    def network_of(self, task: int) -> Network:
        """Return the network with a task's weights: a copy, unless they are the stored ones."""
        weights = self.own_weights(task)
        if not weights:
            return self.network
        network = copy.deepcopy(self.network)
        stored = network.backbone.state_dict()
        for name, weight in weights.items():
            stored[name].copy_(weight)
        return network

    def servable(self, task: int | None = None, classify: str = "auto") -> Servable:
        """Return softmax over a task's head, or a router before all heads."""
        self.way(classify)
        tasks = self.network.head.tasks
        if task is None:
            return Routed(
                self.preprocess,
                self.routing_network(),
                torch.cat([self.router[known] for known in dict.fromkeys(tasks)]),
                [self._expert(known) for known in dict.fromkeys(tasks)],
            )
        if task not in tasks:
            raise ValueError(f"there is no task {task}")
        return self._expert(task)

    def _expert(self, task: int) -> TaskSoftmax:
        return TaskSoftmax(self.preprocess, self.network_of(task), task)

    def state(self) -> dict[str, Tensors]:
        """Return the network's parts and the router's means, task by task."""
        router = {f"router.{task}": {"means": means} for task, means in self.router.items()}
        return super().state() | router

    def load(self, parts: dict[str, Tensors]) -> None:
        """Restore the router."""
        for task in dict.fromkeys(self.network.head.tasks):
            if f"router.{task}" in parts:
                self.router[task] = parts[f"router.{task}"]["means"]
