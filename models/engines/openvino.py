"""OpenVINO: the extra `fast`. It compiles a graph for the CPU that it runs on."""

import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from models.engines.engine import Kind
from models.engines.names import EngineName, Precision
from models.engines.tracing import Tracer
from models.serving import size_of
from models.trunks import Trunk

# What was measured of resnet32, resnet50, vgg11_bn and efficientnet_lite0: weights are kept as they
# were and as the CPU takes them, a batch in progress takes about four times its largest tensor, and
# each module has code for each size of a batch.
_COPIES = 2
_LARGEST = 4
_MODULE_BYTES = 100_000


class OpenVINO:
    """Compiles trunks, where nothing else is asked for in bf16 where the CPU multiplies it."""

    name: EngineName = "openvino"

    def __init__(
        self, at_once: int, batch: int, *, cores: int = 1, precision: Precision | None = None
    ) -> None:
        """Run up to `at_once` batches at a time, each on `cores`, of up to `batch` images."""
        self._at_once, self._threads, self._images = at_once, at_once * cores, at_once * batch
        self._precision = precision
        self._tracer = Tracer()

    @cached_property
    def _core(self) -> Any:
        """The library, which an idle service does without: it takes 33 MB of memory."""
        import openvino  # noqa: PLC0415 - an extra

        return openvino.Core()

    @cached_property
    def precision(self) -> Precision:
        """What convolutions are computed in."""
        if self._precision is not None:
            return self._precision
        offered = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        return "bf16" if "BF16" in offered else "fp32"

    @property
    def _options(self) -> dict[str, Any]:
        return {
            "NUM_STREAMS": self._at_once,
            "INFERENCE_NUM_THREADS": self._threads,
            "INFERENCE_PRECISION_HINT": {"bf16": "bf16", "fp32": "f32"}[self.precision],
            # Other processes use the cores too.
            "ENABLE_CPU_PINNING": False,
        }

    def compile(self, trunk: Trunk, kind: Kind) -> "Compiled":
        """Return the compiled graph of a trunk."""
        graph = self._tracer.graph(trunk, kind)
        held = _COPIES * size_of(trunk) + _LARGEST * self._images * graph.largest
        held += _MODULE_BYTES * sum(1 for _ in trunk.modules())
        model = _converted(graph.module, kind.image_size)
        return Compiled(self._core.compile_model(model, "CPU", self._options), held)


class Compiled:
    """A trunk as a compiled graph. Each thread has a request, with the memory of its batches."""

    def __init__(self, compiled: Any, size: int) -> None:
        self.bytes = size
        self._compiled = compiled
        self._local = threading.local()

    def __call__(self, images: Tensor) -> Sequence[Tensor]:
        """Return float32 tensors of uint8 images [B, 3, S, S]."""
        request = getattr(self._local, "request", None)
        if request is None:
            request = self._local.request = self._compiled.create_infer_request()
        # Copied out: the next batch is written to the same memory.
        pixels = images.permute(0, 2, 3, 1).contiguous().numpy()
        made = request.infer([pixels], share_inputs=True)
        return [torch.from_numpy(array) for array in made.values()]


def _converted(graph: torch.jit.ScriptModule, image_size: int) -> Any:
    """Return a graph as a model that takes uint8 images [?, S, S, 3]."""
    # By its parts, since `openvino.convert_model` reports its use over the network.
    import openvino  # noqa: PLC0415
    from openvino.frontend import FrontEndManager  # noqa: PLC0415
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder  # noqa: PLC0415
    from openvino.preprocess import PrePostProcessor  # noqa: PLC0415

    frontend = FrontEndManager().load_by_framework("pytorch")
    decoder = TorchScriptPythonDecoder(graph)
    model = frontend.convert(frontend.load(decoder))
    images = model.inputs[0].get_node()
    images.set_element_type(openvino.Type.u8)
    images.set_partial_shape(openvino.PartialShape([-1, 3, image_size, image_size]))
    model.validate_nodes_and_infer_types()
    steps = PrePostProcessor(model)
    steps.input().tensor().set_layout(openvino.Layout("NHWC"))
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    return steps.build()
