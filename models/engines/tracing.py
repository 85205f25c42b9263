"""Graphs of networks, each kind of network traced once.

PyTorch never frees what tracing has made. So it is made of a network without numbers, once for each
kind, and every version's tensors are put into a copy, which is freed with the version.
"""

import copy
import io
import math
import warnings
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.jit._trace import TracerWarning

from models.engines.engine import Kind
from models.seeds import generator
from models.trunks import Trunk

# Networks look at the sizes of images, which never change here.
warnings.filterwarnings("ignore", category=TracerWarning)


class Graph(NamedTuple):
    """A graph with its tensors as constants; `largest` is the bytes of the largest that it makes.

    That is of one image, in float32.
    """

    module: torch.jit.ScriptModule
    largest: int


class Tracer:
    """Makes graphs. For one thread."""

    def __init__(self) -> None:
        # The saved graph of each kind, some 100 kB, and its `largest`.
        self._traced: dict[Kind, tuple[bytes, int]] = {}

    def graph(self, trunk: Trunk, kind: Kind) -> Graph:
        """Return the graph of a trunk, which is in eval mode and of that kind of network."""
        if kind not in self._traced:
            self._traced[kind] = _trace(trunk, kind.image_size)
        saved, largest = self._traced[kind]
        module = torch.jit.load(io.BytesIO(saved))
        tensors = dict([*trunk.named_parameters(), *trunk.named_buffers()])
        for prefix, part in module.named_modules():
            for name, _ in [
                *part.named_parameters(recurse=False),
                *part.named_buffers(recurse=False),
            ]:
                setattr(part, name, tensors[f"{prefix}.{name}" if prefix else name])
        return Graph(torch.jit.freeze(module.eval()), largest)


def example(image_size: int) -> Tensor:
    """Return two noise images, uint8 [2, 3, S, S], in the memory format that batches have."""
    draws = generator(0, "noise images")
    shape = (2, image_size, image_size, 3)
    return torch.randint(256, shape, dtype=torch.uint8, generator=draws).permute(0, 3, 1, 2)


@torch.no_grad()
def _trace(trunk: Trunk, image_size: int) -> tuple[bytes, int]:
    images = example(image_size)
    traced: torch.jit.ScriptModule = torch.jit.trace(_empty(trunk), images, check_trace=False)
    kinds: list[Any] = [
        made.type() for node in traced.inlined_graph.nodes() for made in node.outputs()
    ]
    shapes = [kind.sizes() for kind in kinds if kind.kind() == "TensorType" and kind.sizes()]
    saved = io.BytesIO()
    torch.jit.save(traced, saved)
    return saved.getvalue(), 4 * max(math.prod(shape) for shape in shapes) // len(images)


def _empty(trunk: Trunk) -> Trunk:
    """Return a copy whose tensors have shapes, and one number each."""
    numbers: dict[int, Any] = {
        id(each): nn.Parameter(torch.ones((), dtype=each.dtype).expand(each.shape), False)
        for each in trunk.parameters()
    }
    numbers |= {
        id(each): torch.ones((), dtype=each.dtype).expand(each.shape) for each in trunk.buffers()
    }
    return copy.deepcopy(trunk, numbers)
