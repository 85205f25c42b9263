"""Images of a version, on which an engine must say what PyTorch says."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.db.engine import Database
from app.db.repositories import learning as learning_rows
from app.imaging.reading import UnreadableImageError
from app.storage import BlobCorruptError, BlobMissingError, BlobStore
from models.seeds import generator

Source = Literal["held_out", "exemplars", "noise"]

# The most images, and of larger ones as many as have so many pixels: some seconds of work.
_IMAGES = 200
_PIXELS = _IMAGES * 160**2
_UNREADABLE = (BlobMissingError, BlobCorruptError, UnreadableImageError)


@dataclass(frozen=True)
class Evidence:
    """Images uint8 [n, 3, S, S], and what they are."""

    images: Tensor
    source: Source

    @classmethod
    def read(
        cls,
        database: Database,
        store: BlobStore,
        version_id: str,
        to_pixels: Callable[[bytes], NDArray[np.uint8]],
        image_size: int,
    ) -> "Evidence":
        """Read a version's held-out images, or else its exemplars, class after class in turn.

        Where it has neither, or none that can be read, the images are noise. Raises OSError where
        the storage does not answer.
        """
        most = max(1, min(_IMAGES, _PIXELS // image_size**2))
        with database.reading() as session:
            held_out = learning_rows.held_out(session, version_id)
            exemplars = learning_rows.exemplars(session, version_id)
        found: dict[Source, list[str]] = {
            "held_out": _in_turn(held_out),
            "exemplars": _in_turn(
                {index: [image.sha256 for image in images] for index, images in exemplars.items()}
            ),
        }
        for source, hashes in found.items():
            pixels = []
            for sha256 in hashes[:most]:
                try:
                    pixels.append(to_pixels(store.get(sha256)))
                except _UNREADABLE:
                    continue
            if pixels:
                return cls(torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2), source)
        shape = (most, image_size, image_size, 3)
        noise = torch.randint(256, shape, dtype=torch.uint8, generator=generator(0, "noise"))
        return cls(noise.permute(0, 3, 1, 2), "noise")


def _in_turn(by_class: dict[int, list[str]]) -> list[str]:
    """Return the first image of each class, then the second, and so on."""
    rounds = zip_longest(*(by_class[index] for index in sorted(by_class)))
    return [sha256 for sha256 in chain.from_iterable(rounds) if sha256 is not None]
