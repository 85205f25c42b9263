"""What predicts: modules that hold a version's tensors, and what runs them on batches of files."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.imaging.decode import decode
from app.imaging.reading import ImageLimits, UnreadableImageError
from app.inference.batcher import Run
from app.services.classifiers.version_views import EngineView
from models import known
from models.calibration import calibrate
from models.classify import Output, Servable, restrict
from models.engines.names import PLAIN
from models.spec import Spec

# A predictor that has seen so many images is worth a faster engine, which takes seconds to build.
_BUSY_IMAGES = 32


@dataclass(frozen=True, slots=True)
class Prediction:
    """One image's log-scores by column, -inf where a column was not considered.

    `p_known` is the p-value of an image of a known class, None where it is not known.
    """

    log_scores: NDArray[np.float32]
    distances: NDArray[np.float32] | None
    p_known: float | None = None


class Module:
    """A module that predicts, and the bytes that it holds. Several threads may call it."""

    def __init__(
        self, servable: Servable, size: int, run: Callable[[Tensor], Output] | None = None
    ) -> None:
        """Run `servable` itself, or something that runs it elsewhere."""
        self.servable = servable
        self.bytes = size
        self._run = run or servable

    def __call__(self, images: Tensor) -> Output:
        """Return the predictions of uint8 images [B, 3, S, S]."""
        return self._run(images)

    def __del__(self) -> None:
        # Hooks refer to the module that they belong to. Such a cycle would hold the tensors until
        # the next garbage collection, which may be hours away.
        for module in self.servable.modules():
            module._forward_hooks.clear()
            module._forward_pre_hooks.clear()


class ServablePredictor:
    """Decodes a batch and runs one forward pass. Compared by identity: one batch, one module.

    Its module may be swapped for a faster one at any time.
    """

    def __init__(
        self,
        module: Module,
        spec: Spec,
        rules: int,
        limits: ImageLimits,
        held_out: known.Scores,
    ) -> None:
        """Take a module, and the ascending scores of held-out images, none where it has none."""
        self.module, self.bytes = module, module.bytes
        self.engine = EngineView(name=PLAIN)
        self.image_size = spec.image_size
        self.to_pixels = partial(
            decode, size=spec.image_size, limits=limits, resize=spec.resize, rules=rules
        )
        # Called once, when the predictor has turned out to be busy.
        self.on_busy: Callable[[], None] | None = None
        self._held_out = held_out
        self._images = 0

    def swap(self, module: Module, engine: EngineView) -> None:
        """Run another module from the next batch on. A batch in progress ends with the one before.

        The one before is freed with the last batch that it runs.
        """
        self.module, self.engine, self.bytes = module, engine, module.bytes

    def run(self, images: Sequence[bytes]) -> Run:
        """Return a `Prediction` or an UnreadableImageError for each image."""
        begun = time.perf_counter()
        decoded = [self._decode(image) for image in images]
        pixels = [item for item in decoded if isinstance(item, np.ndarray)]
        inferring = time.perf_counter()
        predictions = iter(self._forward(np.stack(pixels)) if pixels else ())
        ended = time.perf_counter()
        outcomes = [next(predictions) if isinstance(item, np.ndarray) else item for item in decoded]
        self._count(len(pixels))
        return Run(outcomes, inferring - begun, ended - inferring)

    def warm(self) -> None:
        """Run once, so that the first request does not pay for the setup of a forward pass."""
        self._forward(np.zeros((1, self.image_size, self.image_size, 3), np.uint8))

    def _count(self, images: int) -> None:
        self._images += images
        if self._images >= _BUSY_IMAGES and (on_busy := self.on_busy) is not None:
            self.on_busy = None
            on_busy()

    def _decode(self, image: bytes) -> NDArray[np.uint8] | UnreadableImageError:
        try:
            return self.to_pixels(image)
        except UnreadableImageError as error:
            return error

    @torch.inference_mode()
    def _forward(self, pixels: NDArray[np.uint8]) -> list[Prediction]:
        output = self.module(torch.from_numpy(pixels).permute(0, 3, 1, 2))
        scores = output.log_scores.numpy()
        nothing = [None] * len(scores)
        distances = nothing if output.distances is None else output.distances.numpy()
        p_known = (
            known.p_values(known.scores(output), self._held_out).tolist()
            if self._held_out
            else nothing
        )
        return [Prediction(*row) for row in zip(scores, distances, p_known, strict=True)]


class RestrictedPredictor:
    """Another predictor, with the scores restricted to the columns of one task.

    They are calibrated by a curve, where the version has one.
    """

    def __init__(
        self, whole: ServablePredictor, columns: torch.Tensor, curve: torch.Tensor | None
    ) -> None:
        self._whole = whole
        self._columns = columns
        self._curve = curve

    def run(self, images: Sequence[bytes]) -> Run:
        """Return a `Prediction` or an UnreadableImageError for each image."""
        run = self._whole.run(images)
        return Run([self._restricted(item) for item in run.outcomes], run.decode, run.infer)

    def _restricted(
        self, outcome: Prediction | UnreadableImageError
    ) -> Prediction | UnreadableImageError:
        if isinstance(outcome, UnreadableImageError):
            return outcome
        scores = restrict(torch.from_numpy(outcome.log_scores)[None], self._columns)
        if self._curve is not None:
            scores = calibrate(Output(scores), self._curve).log_scores
        # How surely it is known was judged among all classes.
        return Prediction(scores[0].numpy(), outcome.distances)


AnyPredictor = ServablePredictor | RestrictedPredictor
