"""Decoding: the one way from an image's bytes to the pixels for training and prediction."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.imaging.reading import ImageLimits, opened, scales_while_decoding, to_rgb


def decode(data: bytes, size: int, limits: ImageLimits | None = None) -> NDArray[np.uint8]:
    """Return the image as RGB, uint8 [size, size, 3], resized to a square.

    Transparent pixels are blended over white, and the EXIF orientation is applied. Raises
    UnreadableImageError.
    """
    with opened(data, limits) as image:
        if scales_while_decoding(image):
            image.draft(None, (size, size))
        rgb = to_rgb(image)
        if rgb.size != (size, size):
            rgb = rgb.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=2.0)
        return np.array(rgb)
