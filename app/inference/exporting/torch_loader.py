"""Predict with the version in this folder, by PyTorch alone.

    from signs.load import load

    classifier = load()
    found = classifier(images)

`model.json` says what the classes are, `network.py` is what is computed, and `model.safetensors`
has its tensors.
"""

import json
import runpy
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

_TYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}
# What images that are not square are filled with: half of white.
_PADDING = 128


def load(folder: str | Path = Path(__file__).parent, device: str = "cpu") -> "Classifier":
    """Return the classifier of a folder, on a device such as cuda."""
    folder = Path(folder)
    about = json.loads((folder / "model.json").read_text("utf-8"))
    network = runpy.run_path(str(folder / "network.py"))["forward"]
    tensors = read_tensors(folder / "model.safetensors")
    return Classifier(about, network, {name: each.to(device) for name, each in tensors.items()})


class Classifier:
    """A version: `labels` are its classes, `about` is what else is known of it.

    `network(tensors, pixels)` is the network on uint8 [B, 3, S, S], with S of `image_size`.
    """

    def __init__(
        self,
        about: dict[str, Any],
        network: Callable[[dict[str, Tensor], Tensor], tuple[Tensor, ...]],
        tensors: dict[str, Tensor],
    ) -> None:
        self.about, self.network, self.tensors = about, network, tensors
        self.labels: list[str] = about["labels"]

    @torch.inference_mode()
    def __call__(self, images: Tensor | Sequence[Tensor]) -> dict[str, Any]:
        """Return predictions of upright RGB images, uint8 [B, 3, H, W] or a list of [3, H, W].

        `label` is a list of texts; `scores` [B, classes] are in the order of `labels`. `distances`
        [B, classes], `p_known` [B] and `known` [B] are there where the version has them.
        """
        size, resize = self.about["image_size"], self.about["resize"]
        pixels = torch.stack([square(image, size, resize) for image in images])
        pixels = pixels.to(next(iter(self.tensors.values())).device)
        outputs = self.network(self.tensors, pixels)
        found: dict[str, Any] = dict(zip(self.about["outputs"], outputs, strict=True))
        best = found["scores"].argmax(dim=1).tolist()
        found["label"] = [self.labels[column] for column in best]
        if self.about["false_alarms"] is not None:
            found["known"] = found["p_known"] > self.about["false_alarms"]
        return found


def square(image: Tensor, size: int, resize: str) -> Tensor:
    """Return an image, uint8 [3, H, W], as [3, size, size]."""
    height, width = image.shape[1:]
    if resize == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        image = image[:, top : top + side, left : left + side]
    if resize != "pad":
        return _scaled(image, size, size)
    longest = max(height, width)
    down, across = (
        max(1, (2 * length * size + longest) // (2 * longest)) for length in (height, width)
    )
    top, left = (size - down) // 2, (size - across) // 2
    around = (left, size - across - left, top, size - down - top)
    return pad(_scaled(image, down, across), around, value=_PADDING)


def _scaled(image: Tensor, height: int, width: int) -> Tensor:
    if image.shape[1:] == (height, width):
        return image
    image = image[None].contiguous()
    return interpolate(image, size=(height, width), mode="bilinear", antialias=True)[0]


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file by name."""
    data = bytearray(file.read_bytes())
    (length,) = struct.unpack_from("<Q", data)
    entries = json.loads(data[8 : 8 + length])
    entries.pop("__metadata__", None)
    found = {}
    for name, entry in entries.items():
        kind, shape = _TYPES[entry["dtype"]], entry["shape"]
        begin, end = entry["data_offsets"]
        flat = torch.empty(0, dtype=kind)
        if end > begin:
            count = (end - begin) // kind.itemsize
            flat = torch.frombuffer(data, dtype=kind, count=count, offset=8 + length + begin)
        found[name] = flat.reshape(shape)
    return found
