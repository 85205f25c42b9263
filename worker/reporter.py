"""What the training process says of its progress."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from app.db.repositories.jobs import Event
from models.learner import Progress
from worker.protocol import Quiet, Report, Send

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
        self._progress: dict[str, Any] = dict.fromkeys(
            name for name in Progress.__dataclass_fields__ if name != "phase"
        )

    def warn(self, warnings: Sequence[str]) -> None:
        """Report what whoever started the job should know before it trains."""
        if warnings:
            events = tuple(Event("warning", warning, "warning") for warning in warnings)
            self._report("preparing", {"fraction": 0.0}, events)

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
        self._progress["fraction"] = round(start + (end - start) * fields["fraction"], 4)
        self._send(Report(phase, dict(self._progress), events))
