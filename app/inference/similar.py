"""Which of some stored images look most like another image, to a version's network."""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from app.inference.lru import LruCache
from app.inference.predictor import ServablePredictor
from models.similarity import Embedding

# Features of stored images that are kept: of some classes, a few kilobytes each.
_KEPT = 2000
_BATCH = 16


class Similar(NamedTuple):
    """A stored image, and the cosine of its features and the other's, from -1 to 1."""

    sha256: str
    similarity: float


class SimilarImages:
    """Compares images by the features of a plain predictor's backbone. Several threads may ask."""

    def __init__(self, plain: ServablePredictor) -> None:
        self._embed = Embedding(plain.module.servable)
        self._to_pixels = plain.to_pixels
        self._kept: LruCache[str, Tensor] = LruCache(_KEPT)
        # One at a time: each takes all cores for some seconds.
        self._turn = threading.Lock()

    def ranked(
        self, image: bytes, stored: Sequence[str], read: Callable[[str], bytes | None]
    ) -> list[Similar]:
        """Return stored images, the most similar first. `read` gives the bytes that are there.

        Raises UnreadableImageError for the image.
        """
        pixels = self._to_pixels(image)
        with self._turn:
            wanted = self._features([pixels])[0]
            found = {
                sha256: kept for sha256 in stored if (kept := self._kept.get(sha256)) is not None
            }
            for sha256s, batch in self._batches(
                [each for each in stored if each not in found], read
            ):
                for sha256, features in zip(sha256s, self._features(batch), strict=True):
                    self._kept.put(sha256, features)
                    found[sha256] = features
        likeness = [Similar(sha256, float(each @ wanted)) for sha256, each in found.items()]
        return sorted(likeness, key=lambda each: -each.similarity)

    def _batches(
        self, missing: Sequence[str], read: Callable[[str], bytes | None]
    ) -> Iterator[tuple[list[str], list[np.ndarray]]]:
        for start in range(0, len(missing), _BATCH):
            data = {sha256: read(sha256) for sha256 in missing[start : start + _BATCH]}
            there = {sha256: each for sha256, each in data.items() if each is not None}
            if there:
                yield list(there), [self._to_pixels(each) for each in there.values()]

    def _features(self, pixels: Sequence[np.ndarray]) -> Tensor:
        return self._embed(torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2))
