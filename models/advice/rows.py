"""A row of advice's table: what was measured of a method, a backbone and an image size."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from models import evaluate
from models.advice.candidates import Candidate
from models.compute import Compute, to_device
from models.learner import restore
from models.methods import Method
from models.spec import Spec
from models.state import State, encode

Measured = Literal["leave_one_out", "held_out"]
Clock = Callable[[], float]

# Predictions that are timed; the fastest is the one that other work on the machine delayed least.
_TIMED = 10
# Parts of a version that do not grow with its classes.
_SHARED = frozenset({"backbone", "preprocess"})
# Parts that belong to one class or task each.
_OWN = ("head.", "features.")


@dataclass(frozen=True)
class Row:
    """What was measured of a candidate.

    `accuracy` is in [0, 1], with its `standard_error`, over `measured_on` images, each left out in
    turn (``leave_one_out``) or none trained on (``held_out``); None where no image could be. It
    rests on `trained_on` images, which took `seconds` to learn. One prediction takes
    `prediction_seconds`. A version keeps `bytes_per_class`, exemplars included. `residual` names
    the parts that stay when a class is forgotten: none is exact. `forgetting` in [−1, 1] is what
    the first half of the classes lost while the second was learnt; None where not measured. `cut`
    says what the time was too short for.
    """

    candidate: Candidate
    accuracy: float | None
    measured_on: int
    measured: Measured
    trained_on: int
    seconds: float
    forgetting: float | None = None
    cut: str | None = None
    # What `Trials.completed` fills in.
    standard_error: float | None = None
    prediction_seconds: float = 0.0
    bytes_per_class: int = 0
    residual: tuple[str, ...] = ()


@dataclass(frozen=True)
class LeftOut:
    """A candidate that was not measured, and why."""

    candidate: Candidate
    reason: str


def bytes_per_class(state: State, classes: int, share: float = 1.0) -> int:
    """Return the bytes of tensors that a version keeps for each class, as they are stored.

    `share` is the part of the images that was learnt: what is kept of each image grows with them.
    """
    total = 0.0
    for name, part in state.parts.items():
        if name.startswith(_OWN):
            total += len(encode(part)) / (share if name.startswith("features.") else 1.0)
        elif name not in _SHARED:
            own = (tensor for tensor in part.values() if tensor.ndim and len(tensor) == classes)
            total += sum(tensor.numel() * tensor.element_size() for tensor in own)
    return round(total / classes)


@dataclass(frozen=True)
class Serving:
    """What a version costs to serve, and what of a class stays in it when that is forgotten."""

    prediction_seconds: float
    residual: tuple[str, ...]

    @classmethod
    def of(cls, spec: Spec, state: State, image: Tensor, device: str, clock: Clock) -> "Serving":
        """Load a version, predict for an image uint8 [1, 3, S, S], and forget its first class."""
        on = Compute.on(device).device
        method = restore(spec, state, on)
        seconds = _prediction_seconds(method, image, on, clock)
        # Nothing would be left of a single class.
        residual = method.forget([0]) if len(state.tasks) > 1 else ()
        return cls(seconds, tuple(residual))


def _prediction_seconds(
    method: Method[Any], image: Tensor, device: torch.device, clock: Clock
) -> float:
    servable = to_device(method.servable(), device)

    def seconds() -> float:
        begun = clock()
        evaluate.predict(servable, image, device)
        return clock() - begun

    return min(seconds() for _ in range(_TIMED))
