"""Where predictions run: on the CPU, or on a GPU where a setting says so."""

import threading

import torch
from torch import Tensor

from app.inference.predictor import Module
from app.settings import Settings
from models.classify import Output, Servable
from models.serving import size_of


class DeviceMissingError(Exception):
    """The device that predictions are to run on is not there."""


def predict_device(settings: Settings) -> torch.device:
    """Return the device of predictions. Raises DeviceMissingError."""
    device = torch.device(settings.predict_device)
    if device.type == "cpu":
        return device
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if (device.index or 0) >= count:
        raise DeviceMissingError(
            f"ACCRUE_PREDICT_DEVICE is {settings.predict_device}, but PyTorch sees "
            f"{count or 'no'} GPU{'' if count == 1 else 's'} here. Set it to cpu, or to a GPU that "
            "`accrue doctor` shows."
        )
    # What was trained and measured in float32 is served in float32.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    return device


def module_on(servable: Servable, device: torch.device) -> Module:
    """Return what runs a module that is on a device, for images of the CPU."""
    if device.type == "cpu":
        return Module(servable, size_of(servable))
    # Its tensors are copied on another stream than those that will read them.
    torch.cuda.synchronize(device)
    return Module(servable, size_of(servable), _OnGpu(servable, device))


class _OnGpu:
    """Runs a module on a GPU. Each thread has a stream, so that batches overlap."""

    def __init__(self, servable: Servable, device: torch.device) -> None:
        self._servable = servable
        self._device = device
        self._local = threading.local()

    def __call__(self, images: Tensor) -> Output:
        """Return, on the CPU, the predictions of uint8 images [B, 3, S, S] of the CPU."""
        stream = getattr(self._local, "stream", None)
        if stream is None:
            stream = self._local.stream = torch.cuda.Stream(self._device)
        with torch.cuda.stream(stream):
            output = self._servable(images.pin_memory().to(self._device, non_blocking=True))
            return unpacked(packed(output).cpu(), output)


def packed(output: Output) -> Tensor:
    """Return the predictions of a batch as one tensor [B, …], to be copied at once."""
    return torch.cat(list(_floats(output).values()), dim=1)


def unpacked(together: Tensor, output: Output) -> Output:
    """Return the predictions that `packed` made one tensor of, without the chosen tasks."""
    fields = _floats(output)
    widths = [field.shape[1] for field in fields.values()]
    parts = together.split(widths, dim=1)
    return Output(**dict(zip(fields, parts, strict=True)))


def _floats(output: Output) -> dict[str, Tensor]:
    return {
        name: field
        for name, field in output._asdict().items()
        if field is not None and field.is_floating_point()
    }
