"""Resizing an image to a square, by one of `models.spec.Resize`."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.imaging import bilinear
from app.imaging.rules import CURRENT, SECOND
from models.spec import Resize

# What `pad` fills with: half of white, in every version the same.
PADDING = 128
# Larger images are first reduced by whole numbers to at least this many times their new size: fast,
# and hardly different from filtering alone.
_REDUCING_GAP = 2.0
# Below so many pixels a side, a call of PyTorch takes longer than its kernel saves. That also keeps
# it from widths of one, for which its kernel without AVX2 mixes up the channels.
_WORTH_A_CALL = 64


# An RGB image, or its pixels: uint8 [height, width, 3].
Rgb = Image.Image | NDArray[np.uint8]


class _Box(NamedTuple):
    """A part of an image, in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def size(self) -> tuple[float, float]:
        return self.right - self.left, self.bottom - self.top


def to_square(
    rgb: Rgb,
    side: int,
    resize: Resize,
    proportions: tuple[int, int],
    rules: int = CURRENT,
) -> NDArray[np.uint8]:
    """Return an RGB image as a square, uint8 [side, side, 3].

    `proportions` are the width and height to keep: those of the file, of which `rgb` may be a
    reduced form whose own are rounded.
    """
    rgb_width, rgb_height = size_of(rgb)
    whole = _Box(0, 0, rgb_width, rgb_height)
    if resize == "squash":
        return _resized(rgb, (side, side), whole, rules)
    width, height = proportions
    if resize == "pad":
        longest = max(width, height)
        across, down = _part(width, longest, side), _part(height, longest, side)
        square = np.full((side, side, 3), PADDING, np.uint8)
        left, top = (side - across) // 2, (side - down) // 2
        inner = _resized(rgb, (across, down), whole, rules)
        square[top : top + down, left : left + across] = inner
        return square
    # The largest square in the middle, in the pixels of `rgb`.
    shortest = min(width, height)
    cut_width, cut_height = rgb_width * shortest / width, rgb_height * shortest / height
    x, y = (rgb_width - cut_width) / 2, (rgb_height - cut_height) / 2
    return _resized(rgb, (side, side), _Box(x, y, x + cut_width, y + cut_height), rules)


def _part(length: int, longest: int, side: int) -> int:
    """Return length / longest of `side`, rounded half up, at least 1."""
    return max(1, (2 * length * side + longest) // (2 * longest))


def size_of(rgb: Rgb) -> tuple[int, int]:
    """Return width and height."""
    return rgb.size if isinstance(rgb, Image.Image) else (rgb.shape[1], rgb.shape[0])


def _resized(rgb: Rgb, size: tuple[int, int], box: _Box, rules: int) -> NDArray[np.uint8]:
    """Return a box of an image at a size, uint8 [height, width, 3]."""
    if size_of(rgb) == size and box == (0, 0, *size):
        return np.array(rgb)
    is_reduced = any(
        old >= 2 * _REDUCING_GAP * new for old, new in zip(box.size, size, strict=True)
    )
    if rules <= SECOND or is_reduced or min(size) < _WORTH_A_CALL:
        bilinear_filter = Image.Resampling.BILINEAR
        image = rgb if isinstance(rgb, Image.Image) else Image.fromarray(rgb)
        return np.array(image.resize(size, bilinear_filter, box, reducing_gap=_REDUCING_GAP))
    # In whole pixels: as near as half of one.
    left, top = int(box.left), int(box.top)
    across, down = (max(1, round(length)) for length in box.size)
    pixels = np.array(rgb) if isinstance(rgb, Image.Image) else rgb
    cut = pixels[top : top + down, left : left + across]
    return bilinear.resized(cut, *size)
