"""A faster engine for networks that a job runs on many images and does not train.

OpenVINO in float32, whatever the CPU has: features that are kept rest on it for good, and what is
measured is to be what PyTorch says, but for rounding.
"""

from importlib.util import find_spec

import structlog
import torch

from models.engines.engine import Engine, Kind
from models.engines.openvino import OpenVINO
from models.engines.tracing import example
from models.inference import MOST_IMAGES
from models.serving import why
from models.spec import Spec
from models.trunks import Compile, Runner, Trunk, as_it_is
from worker.attempt import Attempt
from worker.reporter import Reporter

# From so many pixels on, running saves more time than compiling takes: about 150 images at 160.
_WORTH = 150 * 160**2
# How far what a trunk makes may be off, relative to the largest number.
_TOLERANCE = 1e-3
# How long compiling may take on a slow or busy core.
_SILENT_SECONDS = 300.0

log = structlog.get_logger(__name__)


def of(attempt: Attempt, spec: Spec, images: int) -> Compile:
    """Return what compiles the network of a spec, which will run on so many images.

    The network stays as it is where that would not pay, where OpenVINO is not installed, on a GPU,
    and where the operator asks for another engine.
    """
    resources = attempt.resources
    if (
        images * spec.image_size**2 < _WORTH
        or not resources.device.startswith("cpu")
        or resources.engine not in ("auto", OpenVINO.name)
        or find_spec("openvino") is None
    ):
        return as_it_is
    engine = OpenVINO(1, MOST_IMAGES, cores=resources.threads, precision="fp32")
    kind = Kind(spec.method, spec.backbone, spec.image_size)
    return Compiler(engine, kind, attempt.reporter)


class Compiler:
    """Compiles the first trunk that it is given; another is run as it is.

    Of the many networks that a router asks, each would take seconds and memory of its own.
    """

    def __init__(self, engine: Engine, kind: Kind, reporter: Reporter) -> None:
        self._engine = engine
        self._kind = kind
        self._reporter = reporter
        self._first: tuple[Trunk, Runner] | None = None

    def __call__(self, trunk: Trunk) -> Runner:
        """Return what runs a trunk, whose weights do not change any more.

        It is the trunk itself where the engine cannot run it, or says something else.
        """
        if self._first is None:
            self._reporter.quiet(_SILENT_SECONDS)
            self._first = trunk, self._compiled(trunk)
        first, runner = self._first
        same = first.backbone is trunk.backbone and first.preprocess is trunk.preprocess
        return runner if same else trunk

    def _compiled(self, trunk: Trunk) -> Runner:
        try:
            runner = self._engine.compile(trunk, self._kind)
            difference = _difference(trunk, runner, self._kind.image_size)
        except Exception as error:  # whatever a network makes an engine raise
            log.warning("network_not_compiled", engine=self._engine.name, reason=why(error))
            return trunk
        if not difference <= _TOLERANCE:
            reason = f"what it makes is off by {difference:.2g} of the largest number"
            log.warning("network_not_compiled", engine=self._engine.name, reason=reason)
            return trunk
        return runner


@torch.inference_mode()
def _difference(trunk: Trunk, runner: Runner, image_size: int) -> float:
    """Return how far a runner's numbers are off, relative to the largest of each tensor."""
    images = example(image_size)
    off = [
        (found - expected).abs().max() / expected.abs().max().clamp_min(1e-12)
        for expected, found in zip(trunk(images), runner(images), strict=True)
    ]
    return float(torch.stack(off).max())  # NaN, where one is
