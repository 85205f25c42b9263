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
from models.figures import grouped_standard_error, standard_error
from models.learner import learn
from models.progress import Progress
from models.spec import Spec
from models.step import StepData, StepResult
from models.trunks import Compile

# Returns what compiles the network of a spec, which will run on so many images.
CompileOf = Callable[[Spec, int], Compile]


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
    compile_of: CompileOf

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
                compile_trunk=self.compile_of(spec, len(step.images) + len(step.held_out)),
            )
        except Cancelled:
            if self.should_stop():
                raise
            raise TimeUpError("it did not end within the time") from None

    def completed(
        self,
        row: Row,
        spec: Spec,
        result: StepResult,
        held_out: Tensor,
        image: Tensor,
        exemplar_bytes: float = 0.0,
    ) -> Row:
        """Return a row with its standard error, and what its version costs to serve and keep.

        `held_out` are the positions of images that were measured on, `image` uint8 [1, 3, S, S] is
        predicted for, and `exemplar_bytes` are kept of each class besides tensors.
        """
        serving = Serving.of(spec, result.state, image, self.device, self.clock)
        tensors = bytes_per_class(result.state, self.images.classes, self.images.share)
        return replace(
            row,
            standard_error=None if row.accuracy is None else self._error(row, result, held_out),
            prediction_seconds=serving.prediction_seconds,
            residual=serving.residual,
            bytes_per_class=tensors + round(exemplar_bytes),
        )

    def _error(self, row: Row, result: StepResult, held_out: Tensor) -> float:
        assert row.accuracy is not None  # noqa: S101 - the caller has looked
        groups = self.images.groups
        if groups is None or result.held_out is None:
            return standard_error(row.accuracy, row.measured_on)
        hits = result.held_out.log_scores.argmax(dim=1) == self.images.columns[held_out]
        robust = grouped_standard_error(hits, groups[held_out])
        # A single group tells as much of others as a single image does.
        return standard_error(row.accuracy, 1) if robust is None else robust


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
    if images.apart:
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
        accuracy=result.metrics["accuracy"] if images.apart else left_out.get("accuracy"),
        measured_on=len(held_out) if images.apart else left_out.get("images", 0),
        measured="held_out" if images.apart else "leave_one_out",
        trained_on=len(train),
        seconds=seconds,
    )
    return trials.completed(row, spec, result, held_out, pixels[:1])
