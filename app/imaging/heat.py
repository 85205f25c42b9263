"""Pictures of heat maps: an image with what speaks for an answer in colour over it."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# From nothing to most: dark blue, blue green, yellow, red. Told apart by those who see few colours,
# since each is brighter than the one before, but for red, which is only in the middle of yellow.
_COLOURS = np.array([[20, 20, 90], [20, 130, 150], [250, 220, 60], [220, 30, 30]], np.float32)
# How much of the picture is colour where the heat is 0 and 1.
_LEAST, _MOST = 0.35, 0.65
# Small images are enlarged by a whole number, so that they are at least so many pixels a side.
_SIDE = 224


def overlaid(pixels: NDArray[np.uint8], heat: NDArray[np.float32]) -> bytes:
    """Return a PNG of an image [S, S, 3] with a heat map [h, w] of 0 to 1 over it."""
    side = len(pixels) * -(-_SIDE // len(pixels))
    image = np.array(Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST))
    smooth = Image.fromarray(heat).resize((side, side), Image.Resampling.BICUBIC)
    level = np.asarray(smooth).clip(0, 1)[..., None]
    steps = np.linspace(0, 1, len(_COLOURS))
    colour = np.concatenate([np.interp(level, steps, each) for each in _COLOURS.T], axis=2)
    share = _LEAST + (_MOST - _LEAST) * level
    grey = image.mean(axis=2, keepdims=True)
    mixed = (1 - share) * grey + share * colour
    file = io.BytesIO()
    Image.fromarray(mixed.round().astype(np.uint8)).save(file, "PNG")
    return file.getvalue()
