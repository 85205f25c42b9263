"""How far a learning step is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a learning step is. `phase` is a job phase: ``training``, ``evaluating`` and so on.

    `fraction` is the part of it that is done. `epoch` and `step`, an optimizer step of the epoch,
    count from 1; `epochs` are the most there may be; `loss` is the mean of the epoch so far.
    `held_out_accuracy` is the last that was measured while training, and
    `best_held_out_accuracy` the best. `second_try` is True in a training that is tried once more.
    """

    phase: str
    fraction: float = 0.0
    epoch: int | None = None
    epochs: int | None = None
    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    images_per_second: float | None = None
    eta_seconds: float | None = None
    held_out_accuracy: float | None = None
    best_held_out_accuracy: float | None = None
    second_try: bool | None = None
