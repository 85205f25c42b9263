"""Says how far long work is: to a function, or as a line on standard error."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from accrue_client.views import JobView

_LINE = 78


@dataclass(frozen=True)
class Sending:
    """How many of the images, or of several archives, have arrived.

    `upload_id` is None until the first have. `resumable`: the upload can be continued.
    """

    done: int
    total: int
    upload_id: str | None = None
    resumable: bool = True


Told = Sending | JobView
Tell = Callable[[Told], None]


def teller(progress: bool | Tell) -> Tell:
    """Return a function that takes progress: one given, the line, or one that does nothing."""
    if callable(progress):
        return progress
    return Line(sys.stderr) if progress else nothing


def nothing(_told: Told) -> None:
    """Do not tell."""


class Line:
    """Writes progress as one line of a terminal, or a line for each change elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown = ""

    def __call__(self, told: Told) -> None:
        """Show it."""
        text = _text(told)
        if text == self._shown:
            return
        ended = told.finished if isinstance(told, JobView) else told.done == told.total
        if self._stream.isatty():
            self._stream.write(f"\r{text[:_LINE]:<{_LINE}}" + ("\n" if ended else ""))
        elif ended or text.split(" ")[:2] != self._shown.split(" ")[:2]:
            self._stream.write(text + "\n")
        self._stream.flush()
        self._shown = text


def _text(told: Told) -> str:
    if isinstance(told, Sending):
        return f"sending {told.done} of {told.total} images"
    if told.state != "running":
        return f"{told.id} {told.state}"
    phase = (told.phase or "").replace("_", " ")
    if told.progress is None:
        return f"{told.id} {phase}"
    parts = [f"{told.id} {phase} {told.progress.fraction:.0%}"]
    if told.phase == "training" and told.progress.epoch is not None:
        parts.append(f"epoch {told.progress.epoch} of {told.progress.epochs}")
        if told.progress.loss is not None:
            parts.append(f"loss {told.progress.loss:.3f}")
    if told.progress.eta_seconds is not None:
        parts.append(f"{told.progress.eta_seconds:.0f} s left")
    return ", ".join(parts)
