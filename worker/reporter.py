"""What the training process says of its progress."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from app.db.repositories.events import Event
from app.services.jobs.checkpoints import SavedCheckpoint
from models.learner import Progress
from worker.protocol import Quiet, Report, Send

# How long reading or writing a part of up to some gigabytes may take on a slow disk.
PART_SECONDS = 600.0
_REPORT_SECONDS = 0.2
# Where each phase begins and ends in the job's fraction: most of the time is training.
_SPANS = {
    "preparing": (0.0, 0.05),
    "training": (0.05, 0.9),
    "selecting_exemplars": (0.9, 0.95),
    "evaluating": (0.95, 0.98),
    "publishing": (0.98, 1.0),
}


class Reporter:
    """Turns what happens into reports, few enough not to be felt."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._sent = float("-inf")
        self._phase: str | None = None
        self._progress = _none_yet()
        # What an attempt before had done and this one need not do again.
        self._done = 0.0

    @property
    def progress(self) -> dict[str, Any]:
        """What was reported last, as the job's progress object."""
        return dict(self._progress)

    def warn(self, warnings: Sequence[str]) -> None:
        """Report what whoever started the job should know."""
        self._tell(*(Event("warning", warning, "warning") for warning in warnings))

    def resumed(self, saved: SavedCheckpoint, caveat: str) -> None:
        """Report that training goes on from a checkpoint; `caveat` is what to know of that."""
        self._progress, self._done = dict(saved.progress), saved.progress["fraction"]
        if saved.step:
            epoch, where = saved.epoch + 1, f"in epoch {saved.epoch + 1}, after step {saved.step}"
        else:
            epoch, where = saved.epoch, f"after epoch {saved.epoch}"
        data = {"epoch": epoch, "step": saved.step or None}
        level = "warning" if caveat else "info"
        self._tell(Event("resumed", f"Resumed {where}.{caveat}", level, data))

    def not_resumed(self, why: str) -> None:
        """Report that training starts anew although there is a checkpoint."""
        self._progress, self._done = _none_yet(), 0.0
        message = f"The checkpoint is left out and training starts anew: {why}."
        self._tell(Event("not_resumed", message, "warning"))

    def quiet(self, seconds: float) -> None:
        """Announce a call that may take so long. The report after it ends what is granted."""
        self._send(Quiet(seconds))
        self._sent = float("-inf")

    def phase(self, phase: str, fraction: float) -> None:
        """Report a phase that has no epochs."""
        self._report(phase, {"fraction": fraction}, ())

    def learning(self, progress: Progress) -> None:
        """Report what the learner says."""
        fields = asdict(progress)
        events: tuple[Event, ...] = ()
        if progress.step is not None and progress.step == progress.steps:
            data = {name: fields[name] for name in ("epoch", "epochs", "loss")}
            message = f"Epoch {progress.epoch} of {progress.epochs}: loss {progress.loss:.4f}."
            events = (Event("epoch", message, data=data),)
        self._report(fields.pop("phase"), fields, events)

    def _report(self, phase: str, fields: dict[str, Any], events: tuple[Event, ...]) -> None:
        now = time.monotonic()
        if phase == self._phase and not events and now - self._sent < _REPORT_SECONDS:
            return
        self._phase, self._sent = phase, now
        start, end = _SPANS[phase]
        # What is known of training stays in sight while the phases after it run.
        self._progress |= {name: value for name, value in fields.items() if value is not None}
        fraction = round(start + (end - start) * fields["fraction"], 4)
        self._progress["fraction"] = max(fraction, self._done)
        self._send(Report(phase, dict(self._progress), events))

    def _tell(self, *events: Event) -> None:
        """Report events, wherever the job is."""
        if events:
            phase = self._phase or "preparing"
            self._phase = phase
            self._progress["fraction"] = self._progress["fraction"] or 0.0
            self._send(Report(phase, dict(self._progress), events))


def _none_yet() -> dict[str, Any]:
    return dict.fromkeys(name for name in Progress.__dataclass_fields__ if name != "phase")
