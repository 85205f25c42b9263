"""A checkpoint: training state between two optimizer steps, complete enough to resume exactly."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.optim import Optimizer

from models.state import Tensors, clone, decode, encode


class CheckpointMismatchError(ValueError):
    """A checkpoint does not fit the training that should resume from it."""


@dataclass(frozen=True)
class Checkpoint:
    """Training state between two optimizer steps.

    `phase` (a training phase), `epoch` and `step` number the next optimizer step, each from 0;
    `loss` is the sum over the epoch's steps before it; `parts` the method's working state,
    `optimizer` the optimiser's tensors. No random generator has a state: draws depend on the
    position alone.
    """

    phase: int
    epoch: int
    step: int
    loss: float
    parts: dict[str, Tensors]
    optimizer: Tensors

    def encode(self) -> bytes:
        """Return the checkpoint as safetensors."""
        groups = {"optimizer": self.optimizer}
        groups |= {f"part/{name}": part for name, part in self.parts.items()}
        return encode(
            {
                "position": torch.tensor([self.phase, self.epoch, self.step]),
                "loss": torch.tensor(self.loss, dtype=torch.float64),
                **{
                    f"{group}/{key}": t for group, part in groups.items() for key, t in part.items()
                },
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return an encoded checkpoint, on the CPU.

        Raises ValueError for other bytes.
        """
        tensors = decode(data)
        optimizer: Tensors = {}
        parts: dict[str, Tensors] = {}
        try:
            phase, epoch, step = tensors.pop("position").tolist()
            loss = tensors.pop("loss").item()
            for key, tensor in tensors.items():
                kind, name = key.split("/", 1)
                if kind == "optimizer":
                    optimizer[name] = tensor
                else:
                    part, name = name.split("/", 1)
                    parts.setdefault(part, {})[name] = tensor
        except (KeyError, ValueError) as error:
            raise ValueError(f"not a checkpoint: {error}") from error
        return cls(phase, epoch, step, loss, parts, optimizer)


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
