"""The hardware of a step: device, memory format and precision."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from models.padded import PaddedTapsLeftOut

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Compute:
    """Where and in what precision a step is trained.

    Training runs under bf16 autocast where the hardware multiplies bf16 natively; features for
    herding and every measurement are float32, as they are served.
    """

    device: torch.device
    bf16: bool

    @classmethod
    def on(cls, device: str) -> "Compute":
        """Return what a device offers: ``cpu``, ``cuda``, ``cuda:1`` or ``auto``."""
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        chosen = torch.device(device)
        if chosen.type == "cuda":
            bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            bf16 = torch.backends.mkldnn.is_available() and torch.cpu._is_avx512_bf16_supported()
        return cls(chosen, bf16)

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Be the context in which training's forwards run."""
        if not self.bf16:
            yield
            return
        kept_right = PaddedTapsLeftOut() if self.device.type == "cpu" else nullcontext()
        with torch.autocast(self.device.type, dtype=torch.bfloat16), kept_right:
            yield


def to_device(module: M, device: torch.device) -> M:
    """Move a module to a device, the weights of its convolutions in channels-last order."""
    module.to(device)
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module


def sent_to(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device; on the way to a GPU, the caller does not wait for it."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def is_out_of_memory(error: Exception) -> bool:
    """Say whether an error means that a device had too little memory."""
    # The CPU's allocator has no class of its own.
    kinds = (MemoryError, torch.OutOfMemoryError)
    return isinstance(error, kinds) or "can't allocate memory" in str(error)
