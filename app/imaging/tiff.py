"""What of TIFF is not read, although Pillow opens it: its pixels would not be what people see."""

from PIL import Image
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    PHOTOMETRIC_INTERPRETATION,
    PLANAR_CONFIGURATION,
    SAMPLEFORMAT,
    TILELENGTH,
    TILEWIDTH,
    TiffImageFile,
)

_SUBFILE_TYPE, _DNG_VERSION = 254, 50706
_REDUCED = 1  # of the subfile type: a small picture of another one
_WHITE_IS_ZERO = 0
_SEPARATE = 2  # one channel after another
_SIGNED = 2  # of the sample format
_CANON_RAW = slice(8, 10), b"CR"

_CONVERT = "convert it to 8 bits, or to PNG"


def decoded_pixels(image: Image.Image) -> int:
    """Return the pixels of one tile of an opened TIFF, 0 without tiles: one is decoded as a whole.

    A tile may be far larger than the image, and is memory all the same.
    """
    if not isinstance(image, TiffImageFile):
        return 0
    return int(image.tag_v2.get(TILEWIDTH, 0) * image.tag_v2.get(TILELENGTH, 0))


def refused(image: Image.Image, data: bytes) -> str | None:
    """Return what an opened TIFF is that is not read, and what to do; None for all other images."""
    if not isinstance(image, TiffImageFile):
        return None
    tags = image.tag_v2
    where, mark = _CANON_RAW
    if _DNG_VERSION in tags or tags.get(_SUBFILE_TYPE, 0) & _REDUCED or data[where] == mark:
        return "a raw photograph: develop it to JPEG"
    if image.mode in ("F", "I") or _SIGNED in tags.get(SAMPLEFORMAT, ()):
        return f"a TIFF whose samples have 32 bits or a sign: {_CONVERT}"
    if image.mode == "LAB":
        return "a TIFF in the colour model Lab: convert it to RGB"
    # Pillow does not turn the one round, and decodes the other wrongly.
    odd = (
        tags.get(PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO
        or tags.get(PLANAR_CONFIGURATION) == _SEPARATE
    )
    if odd and max(tags.get(BITSPERSAMPLE, (1,))) > 8:
        return f"a TIFF of 16 bits with separate channels, or in which zero is white: {_CONVERT}"
    return None
