"""Small, separable classes to learn, and the chain of steps that a service would make of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from models import methods, networks
from models.compute import Compute, to_device
from models.learner import learn, restore
from models.methods import Method, validate
from models.preprocess import Preprocess
from models.spec import Augment, Budget, Spec
from models.step import Step, StepData, StepResult

SIZE = 8


def pictures(label: int, count: int, seed: int = 0) -> Tensor:
    """uint8 [count, 3, 8, 8]: noise around a pattern of the label's own."""
    own = torch.randint(0, 256, (3, SIZE, SIZE), generator=torch.Generator().manual_seed(label))
    draws = torch.Generator().manual_seed(1000 * seed + label)
    noise = torch.randn(count, 3, SIZE, SIZE, generator=draws) * 40
    return (own + noise).clamp(0, 255).to(torch.uint8)


def task_images(task: int, count: int = 16) -> dict[int, Tensor]:
    """The images of a task where each has two classes."""
    return {column: pictures(column, count) for column in (2 * task, 2 * task + 1)}


@dataclass
class Chain:
    """Learns step after step and keeps what a service keeps between them."""

    spec: Spec
    memory: dict[int, Tensor] = field(default_factory=dict)
    held_out: dict[int, Tensor] = field(default_factory=dict)
    tasks: tuple[int, ...] = ()
    results: list[StepResult] = field(default_factory=list)

    def data(self, new: dict[int, Tensor]) -> StepData:
        """The images of a step that learns `new` (column → images) beside the exemplars."""
        task = max(self.tasks, default=-1) + 1
        added = [column for column in new if column >= len(self.tasks)]
        groups = [(column, kept, False) for column, kept in sorted(self.memory.items())]
        groups += [(column, images, True) for column, images in new.items()]
        held_out = self.held_out | {column: pictures(column, 10, seed=9) for column in new}
        count = sum(len(images) for _, images, _ in groups)
        return StepData(
            images=torch.cat([images for _, images, _ in groups]),
            columns=torch.cat([torch.full((len(i),), column) for column, i, _ in groups]),
            sizes=torch.full((count,), 100),
            fresh=torch.cat([torch.full((len(i),), fresh) for _, i, fresh in groups]),
            held_out=torch.cat(list(held_out.values())),
            held_out_columns=torch.cat([torch.full((len(i),), c) for c, i in held_out.items()]),
            tasks=self.tasks + (task,) * len(added),
        )

    def begin(self, new: dict[int, Tensor]) -> tuple[Method[Any], Step]:
        """The method as `learn` makes it for a step, begun but not trained, and the step."""
        data = self.data(new)
        if self.results:
            method = restore(self.spec, self.results[-1].state)
        else:
            kind = methods.get(self.spec.method)
            options = kind.Options.model_validate(self.spec.options)
            network = kind.prepare(self.spec, networks.build(self.spec.backbone, self.spec.seed))
            method = kind(options, network, Preprocess.fitted(data.images))
        compute = Compute(torch.device("cpu"), bf16=False)
        network = to_device(method.network, compute.device)
        step = Step(self.spec, data, network, method.preprocess, compute, lambda: network)
        method.begin(step)
        return method, step

    def learn(self, new: dict[int, Tensor], **kwargs: Any) -> StepResult:
        """Learn a step and remember what it says to remember."""
        data = self.data(new)
        last = self.results[-1] if self.results else None
        result = learn(
            self.spec,
            last.state if last else None,
            data,
            device="cpu",
            history=last.metrics if last else None,
            **kwargs,
        )
        self.memory = {
            column: data.images[result.rankings[column]]
            if column in result.rankings
            else self.memory[column][:kept]
            for column, kept in enumerate(result.kept)
            if kept
        }
        self.held_out |= {column: pictures(column, 10, seed=9) for column in new}
        self.tasks = data.tasks
        self.results.append(result)
        return result


@pytest.fixture
def chain() -> Callable[..., Chain]:
    """Make a chain of steps: ``chain("icarl", exemplars=12, epochs=2)``."""

    def make(method: str, exemplars: int = 12, seed: int = 7, **options: Any) -> Chain:
        torch.set_num_threads(1)
        spec = Spec(
            method=method,
            options={} if method == "analytic" else {"epochs": 2, "batch_size": 16, **options},
            backbone="efficientnet_lite0" if method == "analytic" else "convnet",
            weights="DEFAULT" if method == "analytic" else None,
            image_size=SIZE,
            memory=Budget(exemplars=exemplars),
            augment=Augment(crop=1, flip=True),
            seed=seed,
        )
        return Chain(validate(spec))

    return make
