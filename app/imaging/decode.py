"""Decoding: the one way from an image's bytes to the pixels for training and prediction."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.imaging import turbo
from app.imaging.colours import to_rgb
from app.imaging.reading import ImageLimits, opened, scales_while_decoding
from app.imaging.resize import Rgb, size_of, to_square
from app.imaging.rules import CURRENT
from models.spec import Resize


def decode(
    data: bytes,
    size: int,
    limits: ImageLimits | None = None,
    *,
    resize: Resize = "squash",
    rules: int = CURRENT,
) -> NDArray[np.uint8]:
    """Return the image as RGB, uint8 [size, size, 3], upright and resized to a square.

    `rules` are those of `app.imaging.rules`. Raises UnreadableImageError.
    """
    with opened(data, limits) as image:
        proportions = image.size
        if scales_while_decoding(image):
            image.draft(None, (size, size))
            rgb: Rgb | None = turbo.pixels(image) if image.mode == "RGB" else None
            if rgb is None:
                rgb = to_rgb(image, rules)
        else:
            rgb = to_rgb(image, rules)
            proportions = size_of(rgb)
        return to_square(rgb, size, resize, proportions, rules)


def canonical(data: bytes, limits: ImageLimits | None = None) -> Image.Image:
    """Return the image at its full size as upright 8-bit RGB, by the current rules.

    Two files with the same canonical image are the same picture. Raises UnreadableImageError.
    """
    with opened(data, limits) as image:
        return to_rgb(image)
