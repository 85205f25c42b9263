"""A method that can be held in a phase of its job, for tests to act meanwhile, or fail there."""

import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from models.classify import Output, Servable, Softmax
from models.memory import herd
from models.methods.finetune import Finetune
from models.options import SGDOptions
from models.state import Tensors
from models.step import Step


class HeldOptions(SGDOptions):
    """What is to happen. With `until`, measuring waits for that file to be there."""

    act: Literal[
        "",
        "herd",
        "many_parts",
        "deaf",
        "allocate",
        "not_stored",
        "not_stored_by_forget",
        "unloadable",
    ] = ""
    until: str | None = None


class _Waiting(Softmax):
    until = Path()

    def forward(self, images: Tensor) -> Output:
        while not self.until.exists():
            time.sleep(0.01)
        return super().forward(images)


class _Reversed(Softmax):
    def forward(self, images: Tensor) -> Output:
        return Output(super().forward(images).log_scores.flip(1))


class Held(Finetune):
    """Finetunes, and then."""

    name = "held"
    summary = "Finetunes, and then waits to be cancelled."
    Options = HeldOptions

    options: Any
    # What it predicts with, and does not store.
    reversed = False

    def end(self, step: Step) -> None:
        if self.options.act == "herd":
            herd(torch.rand(20_000, 64), 20_000, step.pause)
        if self.options.act == "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                time.sleep(1)
        if self.options.act == "allocate":
            torch.zeros(2**50)
        self.reversed = self.options.act == "not_stored"

    def forget(self, columns: Sequence[int]) -> list[str]:
        self.reversed = self.options.act == "not_stored_by_forget"
        return super().forget(columns)

    def load(self, parts: dict[str, Tensors]) -> None:
        if self.options.act == "unloadable":
            raise KeyError("a part that was never written")

    def servable(self, task: int | None = None, classify: str = "auto") -> Servable:
        if self.reversed:
            return _Reversed(self.preprocess, self.network)
        if self.options.until is None:
            return super().servable(task, classify)
        waiting = _Waiting(self.preprocess, self.network)
        waiting.until = Path(self.options.until)
        return waiting

    def state(self) -> dict[str, Tensors]:
        parts = super().state()
        if self.options.act == "many_parts":
            parts |= {f"part.{n}": {"number": torch.full((1,), n)} for n in range(20_000)}
        return parts
