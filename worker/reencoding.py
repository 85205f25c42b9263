"""New images in the form in which the exemplar memory keeps them, where that is not as sent.

Each is encoded once, when it is read: training, herding and the byte budget need pixels and sizes.
Only those that become exemplars are stored. Exemplars of the base version stay as they are.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import numpy as np
from numpy.typing import NDArray

from app.imaging.decode import decode
from app.imaging.webp import WebP
from app.services.steps.reencoded import Reencoded, ReencodedImage
from models import methods
from models.errors import Cancelled
from models.spec import Spec
from models.step import StepResult
from worker.attempt import Attempt
from worker.encoded import Files, files
from worker.pixels import Images, images
from worker.room import ImageRoom


def is_needed(spec: Spec) -> bool:
    """Say whether new images have another form as exemplars than the one that was sent."""
    needs = methods.needs(spec.method)
    return spec.memory.format != "original" and (needs.exemplars or needs.all_images)


class Reencoder:
    """Encodes a step's new images as they are read.

    `images` uint8 [F, 3, S, S] are their pixels after that.
    """

    def __init__(self, encoder: WebP, room: Images, files: Files) -> None:
        self.encoder = encoder
        self.images = room.tensor
        self._room, self._files = room, files

    @classmethod
    def of(cls, spec: Spec, room: ImageRoom, count: int, *, on_disk: bool) -> Self | None:
        """Return one for `count` images, `on_disk` or in memory; None where none is needed.

        Raises LearningError where the disk has no room, and OSError where it cannot be written to.
        """
        if not is_needed(spec):
            return None
        encoder = WebP(quality=spec.memory.quality)
        decoded = images(room, count, spec.image_size, on_disk=on_disk)
        return cls(encoder, decoded, files(room, count, spec.image_size, on_disk=on_disk))

    @property
    def sizes(self) -> list[int]:
        """The bytes of each file."""
        return self._files.sizes

    def file(self, index: int) -> bytes:
        """Return the bytes of a new image that was taken."""
        return self._files.get(index)

    def take(self, index: int, pixels: NDArray[np.uint8]) -> None:
        """Encode a new image, uint8 [S, S, 3]."""
        data = self.encoder.encode(pixels)
        self._files.put(index, data)
        # As the next step will read it.
        self._room.write(index, decode(data, self.images.shape[2]))

    def store(
        self, attempt: Attempt, result: StepResult, trained_on: Sequence[str]
    ) -> tuple[list[str], Reencoded]:
        """Store the new images that became exemplars. Raises Cancelled and OSError.

        `trained_on` are the hashes of the images in the order of `StepData.images`. Return them
        with those of the stored files in place of their originals', and what was stored.
        """
        sizes = self.sizes
        first = len(trained_on) - len(sizes)
        chosen = [
            position
            for column, ranking in result.rankings.items()
            for position in ranking[: result.kept[column]]
            if position >= first
        ]

        def put(position: int) -> str:
            if attempt.stop.cancels:
                raise Cancelled
            return attempt.store.put(self.file(position - first))

        hashes = list(trained_on)
        images: dict[str, ReencodedImage] = {}
        with ThreadPoolExecutor(attempt.store.parallel) as pool:
            for position, sha256 in zip(chosen, pool.map(put, chosen), strict=True):
                attempt.reporter.phase("publishing", 0.0)
                image = ReencodedImage(sizes[position - first], trained_on[position])
                images.setdefault(sha256, image)
                hashes[position] = sha256
        return hashes, Reencoded(self.encoder, images)
