"""TorchScript: a traced graph with its weights as constants, batch norms folded.

It needs nothing but PyTorch.
"""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.jit._trace import TracerWarning

from app.inference.engines.engine import Precision
from app.services.classifiers.version_views import EngineName
from models.compute import Compute
from models.folding import folded
from models.seeds import generator
from models.serving import size_of
from models.trunks import Trunk

# Networks look at the sizes of images, which never change here.
warnings.filterwarnings("ignore", category=TracerWarning)


class TorchScript:
    """Makes frozen graphs, in bf16 where the CPU multiplies it."""

    name: EngineName = "torchscript"

    def __init__(self) -> None:
        self.precision: Precision = "bf16" if Compute.on("cpu").bf16 else "fp32"

    def compile(self, trunk: Trunk, image_size: int) -> "Frozen":
        """Return the frozen graph of a trunk. Raises NotFoldableError."""
        images = example(image_size)
        # Folded first, in float32: a rounded batch norm would be folded into rounded weights.
        backbone = folded(trunk.backbone, trunk.preprocess(images))
        precision = torch.bfloat16 if self.precision == "bf16" else torch.float32
        return Frozen(Trunk(trunk.preprocess, backbone.to(precision), precision).eval(), images)


class Frozen:
    """A trunk as a frozen graph."""

    def __init__(self, trunk: Trunk, images: Tensor) -> None:
        self.bytes = size_of(trunk)
        self._graph = torch.jit.freeze(traced(trunk, images))

    def __call__(self, images: Tensor) -> Sequence[Tensor]:
        """Return float32 tensors of uint8 images [B, 3, S, S]."""
        made: Sequence[Tensor] = self._graph(images)
        return made


@torch.no_grad()
def traced(trunk: Trunk, images: Tensor) -> torch.jit.ScriptModule:
    """Return the graph that uint8 images [B, 3, S, S] take through a trunk."""
    graph: torch.jit.ScriptModule = torch.jit.trace(trunk.eval(), images, check_trace=False)
    return graph


def example(image_size: int) -> Tensor:
    """Return two noise images, uint8 [2, 3, S, S], in the memory format that batches have."""
    draws = generator(0, "noise images")
    pixels = torch.randint(256, (2, image_size, image_size, 3), dtype=torch.uint8, generator=draws)
    return pixels.permute(0, 3, 1, 2)
