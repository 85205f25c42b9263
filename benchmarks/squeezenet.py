"""SqueezeNet 1.0 as trained on ImageNet, from the data folder into a file that Accrue starts from.

    ACCRUE_DATASETS=… python -m benchmarks.squeezenet FOLDER

Writes FOLDER/squeezenet-imagenet.safetensors, for a worker whose ACCRUE_WEIGHTS_DIR is FOLDER. What
the network computes stays. But the input's channels change their order, blue first in the source,
and everything its unit: pixels of ±128 and activations of several hundred, as in the source, make
plain gradient descent diverge at any usual rate. Here all are near one.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from benchmarks import datasets

SOURCE = "weights/squeezenet_v1.0_imagenet.npz"
TARGET = "squeezenet-imagenet.safetensors"
PIXEL_UNIT = 64
ACTIVATION_UNIT = 512
FEATURE_UNIT = 32
# Subtracted from pixels of 0 to 255, in red, green, blue.
MEAN = (123, 117, 104)
_PARTS = {"conv1x1_1": "squeeze", "conv1x1_2": "expand1x1", "conv3x3_2": "expand3x3"}
# Indices of fire2 to fire9 in torchvision's `features`, with pooling in between.
_INDICES = {2: 3, 3: 4, 4: 5, 5: 7, 6: 8, 7: 9, 8: 10, 9: 12}


def convert(source: Path) -> dict[str, Tensor]:
    """Return the tensors under torchvision's names."""
    tensors = {}
    for key, values in np.load(source).items():
        layer, kind = key.rsplit(".", 1)
        tensors[f"{_name(layer)}.{'weight' if kind == 'w' else 'bias'}"] = torch.from_numpy(values)
    tensors["features.0.weight"] = tensors["features.0.weight"].flip(1).contiguous()
    # ReLUs pass a factor on; powers of two round nothing.
    for name, tensor in tensors.items():
        if name.endswith("bias") and name != "classifier.1.bias":
            tensor.div_(ACTIVATION_UNIT)
        if name.startswith("features.12.expand"):
            tensor.mul_(ACTIVATION_UNIT / FEATURE_UNIT)
    tensors["features.0.weight"].mul_(PIXEL_UNIT / ACTIVATION_UNIT)
    tensors["classifier.1.weight"].mul_(FEATURE_UNIT)
    return tensors


def _name(layer: str) -> str:
    if layer == "conv1":
        return "features.0"
    if layer == "conv_final":
        return "classifier.1"
    fire, part = layer.split(".")
    return f"features.{_INDICES[int(fire.removeprefix('fire'))]}.{_PARTS[part]}"


def main() -> None:
    """Convert."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    metadata = {
        "mean": json.dumps([value / 255 for value in MEAN]),
        "std": json.dumps([PIXEL_UNIT / 255] * 3),
    }
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    save_file(convert(datasets.home() / SOURCE), folder / TARGET, metadata)
    print(f"wrote {folder / TARGET}")


if __name__ == "__main__":
    main()
