"""The state of a version, part by part, and its encoding as safetensors."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from safetensors.torch import load as _load, save as _save
from torch import Tensor, nn

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class State:
    """All that a version's prediction and its next learning step need.

    `parts` are named groups of tensors (backbone, head.0, means, …), each stored by itself, so that
    versions share parts that did not change. `tasks[c]` is the task that added column c of the
    head; columns are in the order in which classes were learnt.
    """

    parts: Mapping[str, Tensors]
    tasks: tuple[int, ...]

    @property
    def finite(self) -> bool:
        """Whether all tensors are free of infinities and NaNs."""
        tensors = (tensor for part in self.parts.values() for tensor in part.values())
        return all(bool(tensor.isfinite().all()) for tensor in tensors)


def encode(part: Mapping[str, Tensor]) -> bytes:
    """Return a part as safetensors. Equal tensors give equal bytes."""
    return _save({name: part[name].detach().cpu().contiguous() for name in sorted(part)})


def decode(data: bytes) -> Tensors:
    """Return the tensors of an encoded part, on the CPU.

    Raises ValueError when the bytes are not safetensors.
    """
    try:
        return _load(data)
    except Exception as error:  # the library raises its own, undocumented types
        raise ValueError(f"not a safetensors part: {error}") from error


def load_into(module: nn.Module, part: Mapping[str, Tensor], *, strict: bool = True) -> None:
    """Load a part into a module, which must have the part's names and shapes.

    PyTorch's `state_dict` also carries the version of each kind of module, for loaders that convert
    older tensors; MNASNet's refuses tensors without one. safetensors have no versions, and a part
    is of this very network, so the module's own versions are right. Raises RuntimeError for a part
    that does not fit; with `strict` off, it may lack tensors or have others.
    """
    versioned = OrderedDict(part)
    versioned._metadata = module.state_dict()._metadata  # type: ignore[attr-defined]
    module.load_state_dict(versioned, strict=strict)


def clone(part: Mapping[str, Tensor]) -> Tensors:
    """Return an independent copy of a part on the CPU."""
    with torch.no_grad():
        return {name: tensor.detach().to("cpu", copy=True) for name, tensor in part.items()}


def on_device(parts: Mapping[str, Tensors], device: torch.device) -> dict[str, Tensors]:
    """Return parts on a device: copies, except of tensors that are there already."""
    return {
        name: {key: tensor.to(device) for key, tensor in part.items()}
        for name, part in parts.items()
    }
