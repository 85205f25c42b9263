"""TorchScript: a traced graph with its weights as constants, batch norms folded.

It needs nothing but PyTorch.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.compute import Compute
from models.engines.engine import Kind
from models.engines.names import EngineName, Precision
from models.engines.tracing import Graph, Tracer, example
from models.folding import folded
from models.serving import size_of
from models.trunks import Trunk

# What a graph takes besides its tensors for each module, as measured of resnet20 and resnet18.
_MODULE_BYTES = 70_000


class TorchScript:
    """Makes frozen graphs, in bf16 where the CPU multiplies it."""

    name: EngineName = "torchscript"

    def __init__(self) -> None:
        self.precision: Precision = "bf16" if Compute.on("cpu").bf16 else "fp32"
        self._tracer = Tracer()

    def compile(self, trunk: Trunk, kind: Kind) -> "Frozen":
        """Return the frozen graph of a trunk. Raises NotFoldableError."""
        # Folded first, in float32: a rounded batch norm would be folded into rounded weights.
        backbone = folded(trunk.backbone, trunk.preprocess(example(kind.image_size)))
        precision = torch.bfloat16 if self.precision == "bf16" else torch.float32
        lean = Trunk(trunk.preprocess, backbone.to(precision), precision).eval()
        held = size_of(lean) + _MODULE_BYTES * sum(1 for _ in lean.modules())
        return Frozen(self._tracer.graph(lean, kind), held)


class Frozen:
    """A trunk as a frozen graph."""

    def __init__(self, graph: Graph, size: int) -> None:
        self.bytes = size
        self._run = graph.module

    def __call__(self, images: Tensor) -> Sequence[Tensor]:
        """Return float32 tensors of uint8 images [B, 3, S, S]."""
        made: Sequence[Tensor] = self._run(images)
        return made
