"""Trying one candidate on the images: real learning steps, and what they gave."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from models.advice.candidates import Candidate
from models.advice.images import JudgedImages
from models.advice.rows import Clock, Row, Serving, bytes_per_class
from models.errors import Cancelled
from models.figures import standard_error
from models.learner import learn
from models.progress import Progress
from models.spec import Spec
from models.state import State
from models.step import StepData, StepResult


class TimeUpError(Exception):
    """The time that was given is too short for a trial; the message says for what of it."""


@dataclass(frozen=True)
class Trials:
    """Tries candidates on `images`, on a device, by a clock in seconds."""

    images: JudgedImages
    device: str
    weights_dir: Path | None
    clock: Clock
    should_stop: Callable[[], bool]

    def learn(
        self,
        spec: Spec,
        base: StepResult | None,
        step: StepData,
        report: Callable[[Progress], None] = lambda _: None,
        until: float | None = None,
    ) -> StepResult:
        """Take a learning step. Raises TimeUpError at `until`, LearningError and Cancelled."""

        def time_is_up() -> bool:
            return until is not None and self.clock() >= until

        try:
            return learn(
                spec,
                None if base is None else base.state,
                step,
                device=self.device,
                history=None if base is None else base.metrics,
                weights_dir=self.weights_dir,
                report=report,
                should_stop=lambda: self.should_stop() or time_is_up(),
            )
        except Cancelled:
            if self.should_stop():
                raise
            raise TimeUpError("it did not end within the time") from None

    def completed(
        self, row: Row, spec: Spec, state: State, image: Tensor, exemplar_bytes: float = 0.0
    ) -> Row:
        """Return a row with its standard error, and what its version costs to serve and keep.

        `image` uint8 [1, 3, S, S] is predicted for, and `exemplar_bytes` are kept of each class
        besides tensors.
        """
        serving = Serving.of(spec, state, image, self.device, self.clock)
        tensors = bytes_per_class(state, self.images.classes, self.images.share)
        return replace(
            row,
            standard_error=(
                None if row.accuracy is None else standard_error(row.accuracy, row.measured_on)
            ),
            prediction_seconds=serving.prediction_seconds,
            residual=serving.residual,
            bytes_per_class=tensors + round(exemplar_bytes),
        )


def try_analytic(
    trials: Trials, candidate: Candidate, report: Callable[[float], None], until: float | None
) -> Row:
    """Learn all images at once, and leave each out in turn, or measure on those sent apart.

    `report` takes the fraction done. Raises as `Trials.learn` does.
    """
    images, spec = trials.images, candidate.spec()
    pixels = images.pixels(candidate.image_size)
    positions = torch.arange(len(images.columns))
    train, held_out = positions, positions[:0]
    if images.sent_apart:
        train, held_out = positions[~images.held_out], positions[images.held_out]
    begun = trials.clock()
    result = trials.learn(
        spec,
        None,
        images.step(pixels, train, held_out, (0,) * images.classes),
        lambda progress: report(progress.fraction if progress.phase == "extracting" else 1.0),
        until,
    )
    seconds = trials.clock() - begun
    left_out = result.metrics["report"].get("leave_one_out", {})
    row = Row(
        candidate,
        accuracy=result.metrics["accuracy"] if images.sent_apart else left_out.get("accuracy"),
        measured_on=len(held_out) if images.sent_apart else left_out.get("images", 0),
        measured="held_out" if images.sent_apart else "leave_one_out",
        trained_on=len(train),
        seconds=seconds,
    )
    return trials.completed(row, spec, result.state, pixels[:1])
