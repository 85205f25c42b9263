"""What makes two files the same picture: equal pixels, or a perceptual hash that is nearly equal.

The perceptual hash is a difference hash (dHash: N. Krawetz, "Kind of Like That", 2013) of the
luminance in both directions. A difference may also be none: in flat areas, the sign of a difference
is noise.
"""

import hashlib
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Cells of the thumbnail along each side, and its pixels in each cell.
_CELLS, _WITHIN = 9, 8
# Of a side, [_CELLS, _CELLS * _WITHIN].
_MEANS = np.kron(np.eye(_CELLS), np.full(_WITHIN, 1 / _WITHIN))
# The contrast of a thumbnail is the standard deviation of its cells, in levels of 256. Below the
# first, an image is flat. A difference below this part of the contrast is none.
_LEAST_CONTRAST, _NO_DIFFERENCE = 0.5, 0.1
# Differences, and differences of the rarer sign, without which a hash says little: a gradient has
# one sign only.
_LEAST_DIFFERENCES, _LEAST_OF_A_SIGN = 24, 6


class Identity(NamedTuple):
    """What an image is recognised by.

    - `pixels` is the SHA-256 of its size and its pixels, as `to_rgb` returns them.
    - `look` is its perceptual hash, 70 hexadecimal digits: where the luminance rises (32) and falls
      (32) between neighbouring cells, and the mean colour (6). None for an image of so little
      detail that others of its kind would have the same hash.
    """

    pixels: str
    look: str | None


def identify(rgb: Image.Image, pixels: NDArray[np.uint8] | None = None) -> Identity:
    """Return what an image is recognised by; `rgb` is the result of `to_rgb`.

    `pixels` [H, W, 3] are its own, where they are at hand: Pillow would have to copy them.
    """
    digest = hashlib.sha256(b"%d %d " % rgb.size)
    digest.update(rgb.tobytes() if pixels is None else pixels.data)
    return Identity(digest.hexdigest(), _look(rgb))


def _look(rgb: Image.Image) -> str | None:
    side = _CELLS * _WITHIN
    # Averaged to no less than two pixels for each of the thumbnail, and one channel then scaled:
    # together cheaper than scaling all channels, for images of hundreds of pixels.
    small = rgb.reduce((max(1, rgb.width // (2 * side)), max(1, rgb.height // (2 * side))))
    thumbnail = small.convert("L").resize((side, side), Image.Resampling.BILINEAR)
    cells = _cells(np.asarray(thumbnail))
    contrast = cells.std()
    if contrast < _LEAST_CONTRAST:
        return None
    across, down = cells[:-1, 1:] - cells[:-1, :-1], cells[1:, :-1] - cells[:-1, :-1]
    differences = np.concatenate([across.ravel(), down.ravel()])
    rises = differences > _NO_DIFFERENCE * contrast
    falls = differences < -_NO_DIFFERENCE * contrast
    rising, falling = np.count_nonzero(rises), np.count_nonzero(falls)
    if rising + falling < _LEAST_DIFFERENCES or min(rising, falling) < _LEAST_OF_A_SIGN:
        return None
    colour = small.resize((1, 1), Image.Resampling.BOX).tobytes()
    signs = np.packbits(np.concatenate([rises, falls]))
    return signs.tobytes().hex() + colour.hex()


def _cells(grey: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the means of the cells, [_CELLS, _CELLS]. They are exact, in any order of adding."""
    return np.asarray(_MEANS @ grey @ _MEANS.T)
