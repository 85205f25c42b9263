"""What a method has learnt so far, copied and brought back: the state between optimizer steps."""

from typing import Any

import torch

from models.methods import Method
from models.state import Tensors, clone, load_into, on_device

# By the names of a method's parts.
Parts = dict[str, Tensors]


def copied(method: Method[Any]) -> Parts:
    """Return copies, on the CPU, of a method's working state."""
    return {name: clone(part) for name, part in method.working_state().items()}


def load(method: Method[Any], parts: Parts, device: torch.device) -> None:
    """Bring a method, after `begin` and `phases`, into a state that `copied` returned.

    Raises LookupError, RuntimeError or ValueError for a state of something else.
    """
    network = method.network
    parts = on_device(parts, device)
    load_into(network.backbone, parts["backbone"])
    for task, block in network.head.blocks.items():
        load_into(block, parts[f"head.{task}"])
    method.load_working(parts)
