"""A checkpoint: training state between two optimizer steps, complete enough to resume exactly."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor
from torch.optim import Optimizer

from models.early_stopping import Plateaus
from models.state import Tensors, clone, decode, encode
from models.working_state import Parts


class CheckpointMismatchError(ValueError):
    """A checkpoint does not fit the training that should resume from it."""


@dataclass(frozen=True)
class FirstTry:
    """A training that has ended near chance, while it is tried once more.

    `accuracy` is that on its own images, `parts` the method's working state and `plateaus` those of
    its training phases.
    """

    accuracy: float
    parts: Parts
    plateaus: dict[int, Plateaus]


@dataclass(frozen=True)
class Checkpoint:
    """Training state between two optimizer steps.

    `phase` (a training phase), `epoch` and `step` number the next optimizer step, each from 0;
    `loss` is the sum over the epoch's steps before it; `parts` the method's working state,
    `optimizer` the optimiser's tensors. No random generator has a state: draws depend on the
    position alone.

    Of training phases that may stop early, by their numbers, `plateaus` is what was seen of them,
    and `best` the working state after the best epoch of this one. `first` is set in a second try.
    """

    phase: int
    epoch: int
    step: int
    loss: float
    parts: Parts
    optimizer: Tensors
    plateaus: dict[int, Plateaus] = field(default_factory=dict)
    best: Parts | None = None
    first: FirstTry | None = None

    def encode(self) -> bytes:
        """Return the checkpoint as safetensors."""
        tensors = {
            "position": torch.tensor([self.phase, self.epoch, self.step]),
            "loss": torch.tensor(self.loss, dtype=torch.float64),
            **_named("optimizer", self.optimizer),
            **_named("part", _flat(self.parts)),
            **_named("plateaus", _encoded(self.plateaus)),
            **_named("best", _flat(self.best or {})),
        }
        if self.first is not None:
            tensors["first_accuracy"] = torch.tensor(self.first.accuracy, dtype=torch.float64)
            tensors |= _named("first", _flat(self.first.parts))
            tensors |= _named("first_plateaus", _encoded(self.first.plateaus))
        return encode(tensors)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return an encoded checkpoint, on the CPU.

        Raises ValueError for other bytes.
        """
        groups: dict[str, Tensors] = {}
        for key, tensor in decode(data).items():
            group, _, name = key.partition("/")
            groups.setdefault(group, {})[name] = tensor
        try:
            phase, epoch, step = groups["position"][""].tolist()
            first = None
            if "first_accuracy" in groups:
                first = FirstTry(
                    groups["first_accuracy"][""].item(),
                    _parts(groups["first"]),
                    _decoded(groups.get("first_plateaus", {})),
                )
            return cls(
                phase,
                epoch,
                step,
                groups["loss"][""].item(),
                _parts(groups.get("part", {})),
                groups.get("optimizer", {}),
                _decoded(groups.get("plateaus", {})),
                _parts(groups["best"]) if "best" in groups else None,
                first,
            )
        except (KeyError, ValueError) as error:
            raise ValueError(f"not a checkpoint: {error}") from error


def _named(group: str, tensors: Tensors) -> Tensors:
    return {f"{group}/{name}": tensor for name, tensor in tensors.items()}


def _flat(parts: Parts) -> Tensors:
    return {f"{part}/{name}": t for part, own in parts.items() for name, t in own.items()}


def _parts(flat: Tensors) -> Parts:
    parts: Parts = {}
    for key, tensor in flat.items():
        part, name = key.split("/", 1)
        parts.setdefault(part, {})[name] = tensor
    return parts


def _encoded(plateaus: dict[int, Plateaus]) -> Tensors:
    return {str(phase): seen.encode() for phase, seen in plateaus.items()}


def _decoded(tensors: Tensors) -> dict[int, Plateaus]:
    return {int(phase): Plateaus.decode(numbers) for phase, numbers in tensors.items()}


def optimizer_tensors(optimizer: Optimizer) -> Tensors:
    """Return copies, on the CPU, of an optimiser's state; its rates follow from the schedule."""
    return clone(dict(_state_tensors(optimizer)))


def load_optimizer_tensors(optimizer: Optimizer, tensors: Tensors) -> None:
    """Restore what `optimizer_tensors` returned. Raises CheckpointMismatchError."""
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        if int(index) >= len(parameters):
            raise CheckpointMismatchError(f"the optimiser has no parameter {index}")
        state.setdefault(int(index), {})[name] = _in_format_of(parameters[int(index)], value)
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _in_format_of(parameter: Tensor, value: Tensor) -> Tensor:
    """Return a tensor in its parameter's memory format, which safetensors do not store.

    In another format the optimiser would be slower and round differently.
    """
    if not value.ndim:  # a count of steps
        return value
    if value.shape != parameter.shape:
        raise CheckpointMismatchError(
            f"the optimiser's tensors are {list(value.shape)} where a parameter is "
            f"{list(parameter.shape)}"
        )
    return torch.empty_like(parameter, dtype=value.dtype, device=value.device).copy_(value)


def _state_tensors(optimizer: Optimizer) -> Iterator[tuple[str, Tensor]]:
    for index, entries in optimizer.state_dict()["state"].items():
        for name, value in entries.items():
            if isinstance(value, Tensor):
                yield f"{index}.{name}", value
