"""A method that can be held in a phase of its job, or fail there, for tests to act meanwhile."""

import signal
import time
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

    act: Literal["", "herd", "many_parts", "deaf", "allocate"] = ""
    until: str | None = None


class _Waiting(Softmax):
    until = Path()

    def forward(self, images: Tensor) -> Output:
        while not self.until.exists():
            time.sleep(0.01)
        return super().forward(images)


class Held(Finetune):
    """Finetunes, and then."""

    name = "held"
    summary = "Finetunes, and then waits to be cancelled."
    Options = HeldOptions

    options: Any

    def end(self, step: Step) -> None:
        if self.options.act == "herd":
            herd(torch.rand(20_000, 64), 20_000, step.pause)
        if self.options.act == "deaf":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                time.sleep(1)
        if self.options.act == "allocate":
            torch.zeros(2**50)

    def servable(self, task: int | None = None, classify: str = "auto") -> Servable:
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
