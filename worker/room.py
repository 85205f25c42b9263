"""How much room a machine's jobs have for decoded images. Without PyTorch, as the worker is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from app.memory import usable_memory
from app.settings import Settings

# The rest is for the network, its activations, and what else runs here.
_SHARE = 0.25
# For each pixel of an encoded image, before its size is known: WebP takes fewer, noise at the
# highest qualities aside.
FILE_BYTES = 1


@dataclass(frozen=True)
class ImageRoom:
    """Where the images of this machine's jobs are, decoded and, where a job needs it, encoded.

    Those of a job that take more than `limit` bytes are in a file in `folder`. It has no name, so
    that it goes with the process, however that ends.
    """

    limit: int
    folder: Path

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the room by the settings: a quarter of the machine's memory, if unset."""
        limit = settings.train_memory or int(_SHARE * usable_memory())
        return cls(limit, settings.data_dir.absolute() / "scratch")

    def is_too_small(self, count: int, side: int, *, files: int = 0) -> bool:
        """Say whether so many images of a side, and files of such images, have to be on disk."""
        return (3 * count + FILE_BYTES * files) * side**2 > self.limit
