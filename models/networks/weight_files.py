"""Pretrained weights of one's own: a safetensors file that a backbone starts from.

Tensors have the names of the backbone's `state_dict` (torchvision's for its networks); those of a
classifier are ignored. The file's metadata holds `mean` and `std`, JSON lists of three numbers in
[0, 1] units of RGB: the weights are of use only with the normalisation that they were trained with.
"""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from models.state import load_into

SUFFIX = ".safetensors"
# At most this many tensors are named in a message.
_NAMED = 5


class WeightsUnavailableError(Exception):
    """Pretrained weights were neither found in a local folder nor downloaded."""


class WeightsUnfitError(Exception):
    """A file does not hold weights of the network."""


def load_file(module: nn.Module, folder: Path | None, name: str) -> tuple[Tensor, Tensor]:
    """Load a file of `folder` into a module and return the mean and deviation [3] of its images.

    Raises WeightsUnavailableError where there is no such file and WeightsUnfitError where it does
    not fit the module, which is then unchanged.
    """
    if folder is None or not (folder / name).is_file():
        raise WeightsUnavailableError(
            f"there is no {name} in the folder that ACCRUE_WEIGHTS_DIR names ({folder or 'unset'})"
        )
    try:
        with safe_open(folder / name, framework="pt") as file:
            metadata = file.metadata() or {}
            offered = set(file.keys())
            wanted = module.state_dict()
            # Older files lack this count of batches, which nothing uses.
            needed = [key for key in wanted if not key.endswith("num_batches_tracked")]
            _refuse(name, "lacks", [key for key in needed if key not in offered])
            tensors = {key: file.get_tensor(key) for key in wanted if key in offered}
    except SafetensorError as error:
        raise WeightsUnfitError(f"{name} is not a safetensors file: {error}") from error
    misshapen = [key for key, tensor in tensors.items() if tensor.shape != wanted[key].shape]
    _refuse(name, "has another shape of", misshapen)
    whole = [k for k, t in tensors.items() if k in needed and not t.is_floating_point()]
    _refuse(name, "has whole numbers, such as those of quantised networks, in", whole)
    normalisation = _triple(name, metadata, "mean"), _triple(name, metadata, "std")
    load_into(module, tensors, strict=False)
    return normalisation


def _refuse(name: str, what: str, keys: list[str]) -> None:
    if keys:
        listed = ", ".join(keys[:_NAMED]) + (", …" if len(keys) > _NAMED else "")
        raise WeightsUnfitError(f"{name} does not fit the backbone: it {what} {listed}")


def _triple(name: str, metadata: dict[str, str], key: str) -> Tensor:
    try:
        values = torch.tensor(json.loads(metadata[key]), dtype=torch.float32)
    except (KeyError, ValueError, TypeError, OverflowError, RecursionError):
        values = torch.empty(0)
    lowest = torch.finfo().tiny if key == "std" else 0
    if values.shape != (3,) or not ((values >= lowest) & (values <= 1)).all():
        raise WeightsUnfitError(
            f"{name} does not say how its images were normalised: its metadata needs {key!r}, a "
            'JSON list of three numbers up to 1, such as "[0.485, 0.456, 0.406]"'
        )
    return values
