"""Predictions with pictures of what spoke for them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from app.imaging.heat import overlaid
from app.imaging.reading import UnreadableImageError
from app.inference.batcher import Run
from app.inference.predictor import AnyPredictor, Prediction, ServablePredictor
from models.explaining import Watched


@dataclass(frozen=True, slots=True)
class Explained:
    """A prediction, and a PNG of the image with the heat map of its answer."""

    prediction: Prediction
    picture: bytes


class ExplainingPredictor:
    """Predicts with another predictor, then explains each image by gradients.

    Those need PyTorch, so `watched` is apart from what predicts, which may run in an engine.
    """

    def __init__(self, answering: AnyPredictor, plain: ServablePredictor) -> None:
        """Raise NoFeatureMapError where the backbone has no positions to tell apart."""
        self._answering = answering
        self._plain = plain
        self._watched = Watched(plain.module.servable)

    def run(self, images: Sequence[bytes]) -> Run:
        """Return an `Explained` or an UnreadableImageError for each image."""
        run = self._answering.run(images)
        begun = time.perf_counter()
        outcomes = [
            self._explained(image, outcome)
            for image, outcome in zip(images, run.outcomes, strict=True)
        ]
        return Run(outcomes, run.decode, run.infer + time.perf_counter() - begun)

    def _explained(
        self, image: bytes, outcome: Prediction | UnreadableImageError
    ) -> Explained | UnreadableImageError:
        if isinstance(outcome, UnreadableImageError):
            return outcome
        pixels = self._plain.to_pixels(image)
        heat = self._watched.heat_map(
            torch.from_numpy(pixels).permute(2, 0, 1),
            int(outcome.log_scores.argmax()),
            torch.from_numpy(outcome.log_scores > -np.inf),
        )
        return Explained(outcome, overlaid(pixels, heat.numpy()))
