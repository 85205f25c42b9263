"""What the training process reports of its progress."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from app.db.repositories.events import Event
from app.services.jobs.checkpoints import SavedCheckpoint
from models.progress import Progress
from worker.protocol import Quiet, Report, Send

# How long reading or writing a part of up to some gigabytes may take on a slow disk.
PART_SECONDS = 600.0
# How long solving for a discriminant may take on a slow or busy core, after the last features.
_SOLVE_SECONDS = 300.0
_REPORT_SECONDS = 0.2
# Where each job phase begins and ends in the job's fraction: training, or extracting, takes most of
# the time.
_SPANS = {
    "preparing": (0.0, 0.05),
    "training": (0.05, 0.9),
    "extracting": (0.05, 0.95),
    "selecting_exemplars": (0.9, 0.95),
    "evaluating": (0.95, 0.98),
    "publishing": (0.98, 1.0),
}


# A second try of training is an addition to it: what is shown goes on and not back.
_SECOND_TRY = (0.9, 0.95)


class Reporter:
    """Turns what happens into reports, throttled so that they cost training nothing."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._sent = float("-inf")
        self._phase: str | None = None
        self._progress = _none_yet()
        # The fraction that was reached: what is shown never falls below it.
        self._done = 0.0

    @property
    def progress(self) -> dict[str, Any]:
        """The job's progress object as it was last reported."""
        return dict(self._progress)

    def warn(self, warnings: Sequence[str]) -> None:
        """Report what the client who created the job should know."""
        self._send_events(*(Event("warning", warning, "warning") for warning in warnings))

    def resumed(self, saved: SavedCheckpoint, caveat: str) -> None:
        """Report that training resumes from a checkpoint; a `caveat` makes it a warning."""
        # A release before may have saved fewer figures.
        self._progress = _none_yet() | saved.progress
        self._done = saved.progress["fraction"]
        if saved.step:
            epoch, where = saved.epoch + 1, f"in epoch {saved.epoch + 1}, after step {saved.step}"
        else:
            epoch, where = saved.epoch, f"after epoch {saved.epoch}"
        if saved.progress.get("second_try"):
            where += " of the second try"
        data = {"epoch": epoch, "step": saved.step or None}
        level = "warning" if caveat else "info"
        self._send_events(Event("resumed", f"Resumed {where}.{caveat}", level, data))

    def not_resumed(self, why: str) -> None:
        """Report that training starts from the beginning although there is a checkpoint."""
        self._progress, self._done = _none_yet(), 0.0
        message = f"Training starts from the beginning. The checkpoint cannot be used: {why}."
        self._send_events(Event("not_resumed", message, "warning"))

    def quiet(self, seconds: float) -> None:
        """Announce a call that may take this long; the next report ends the allowance."""
        self._send(Quiet(seconds))
        self._sent = float("-inf")

    def phase(self, phase: str, fraction: float) -> None:
        """Report a job phase that has no epochs, and the fraction of it that is done."""
        self._report(phase, {"fraction": fraction}, ())

    def overall(self, phase: str, fraction: float) -> None:
        """Report a job phase, and the fraction of the whole job that is done."""
        self._report(phase, {"fraction": fraction}, (), span=(0.0, 1.0))

    def found(self, message: str, data: dict[str, Any]) -> None:
        """Report what the job has measured."""
        self._send_events(Event("measured", message, data=data))

    def learning(self, progress: Progress) -> None:
        """Report the learner's progress."""
        fields = asdict(progress)
        events: tuple[Event, ...] = ()
        if progress.step is not None and progress.step == progress.steps:
            data = {name: fields[name] for name in ("epoch", "epochs", "loss")}
            again = "Second try, epoch" if progress.second_try else "Epoch"
            message = f"{again} {progress.epoch} of {progress.epochs}: loss {progress.loss:.4f}."
            events = (Event("epoch", message, data=data),)
        best = self._progress["best_held_out_accuracy"]
        if best is not None and progress.best_held_out_accuracy is not None:
            # An earlier attempt, or try, may have been better.
            fields["best_held_out_accuracy"] = max(best, progress.best_held_out_accuracy)
        self._report(fields.pop("phase"), fields, events)
        if progress.phase == "extracting":
            self.quiet(_SOLVE_SECONDS)

    def _report(
        self,
        phase: str,
        fields: dict[str, Any],
        events: tuple[Event, ...],
        span: tuple[float, float] | None = None,
    ) -> None:
        now = time.monotonic()
        if phase == self._phase and not events and now - self._sent < _REPORT_SECONDS:
            return
        self._phase, self._sent = phase, now
        again = phase == "training" and fields.get("second_try")
        start, end = span or (_SECOND_TRY if again else _SPANS[phase])
        # The last figures of training stay while later job phases run.
        self._progress |= {name: value for name, value in fields.items() if value is not None}
        fraction = round(start + (end - start) * fields["fraction"], 4)
        self._progress["fraction"] = self._done = max(fraction, self._done)
        self._send(Report(phase, dict(self._progress), events))

    def _send_events(self, *events: Event) -> None:
        """Report events in the current job phase."""
        if events:
            phase = self._phase or "preparing"
            self._phase = phase
            self._progress["fraction"] = self._progress["fraction"] or 0.0
            self._send(Report(phase, dict(self._progress), events))


def _none_yet() -> dict[str, Any]:
    return dict.fromkeys(name for name in Progress.__dataclass_fields__ if name != "phase")
