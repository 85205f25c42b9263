"""Images of 16 bits as 8 bits, whatever part of the 16 bits their samples use.

Cameras with 10, 12 or 14 bits often write their values as they are: 0 to 4095 of 65535 is black if
only the upper byte is looked at. So the bits that are used are found out, and the upper eight of
them are taken. The scale is a power of two, so that brightness can still be compared between
images, and it follows from the image alone, since a prediction sees no other.
"""

import contextlib
import sys
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from app.imaging.segments import STRUCTURE_ERRORS, png_chunks

# The numbers of bits that an image without sBIT is taken to use: the first that holds its maximum.
_DEPTHS = (8, 10, 12, 14, 16)
# Pillow's raw modes of 16-bit colours, which give the upper bytes, and those that give the lower
# ones. N, of what libtiff decodes, is the order of the machine.
_SWAPPED = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
_UPPER_TO_LOWER = {
    f"{channels};16{order}": f"{channels};16{other}"
    for channels in ("RGB", "RGBA", "RGBX")
    for order, other in _SWAPPED.items()
}
_GREY_ALPHA = "LA;16B"

_Bytes = NDArray[np.uint8]


def is_deep(image: Image.Image) -> bool:
    """Say whether an image whose pixels are not loaded yet has 16 bits."""
    return (
        isinstance(image, ImageFile.ImageFile)
        and bool(image.tile)
        and (_is_grey(image) or _raw_mode(image) in (_GREY_ALPHA, *_UPPER_TO_LOWER))
    )


def eight_bits(image: ImageFile.ImageFile) -> Image.Image:
    """Return an image of 16 bits that is not loaded yet as 8-bit L, LA, RGB or RGBA; loads it."""
    file = image.fp
    assert file is not None  # noqa: S101 - the image is not loaded
    upper, lower = _samples(image, file)
    channels = 1 if upper.shape[2] <= 2 else 3
    colours = (upper[..., :channels], lower[..., :channels])
    depth = _depth(*colours, _declared_bits(image, file, channels))
    shown = _scaled(*colours, depth)
    if upper.shape[2] > channels:
        alpha = (upper[..., channels:], lower[..., channels:])
        # As deep as the colours if it fits into their bits; else writers made it 16 bits deep.
        fits = int(alpha[0].max()) < 1 << (depth - 8)
        shown = np.concatenate([shown, _scaled(*alpha, depth if fits else 16)], axis=2)
    elif (key := image.info.get("transparency")) is not None:
        wanted = np.array(key, np.uint16).reshape(-1)
        hidden = (colours[0] == wanted >> 8) & (colours[1] == wanted & 0xFF)
        alpha_of_key = np.where(hidden.all(axis=2, keepdims=True), 0, 255).astype(np.uint8)
        shown = np.concatenate([shown, alpha_of_key], axis=2)
    return Image.fromarray(shown[..., 0] if shown.shape[2] == 1 else shown)


def _samples(image: ImageFile.ImageFile, file: IO[bytes]) -> tuple[_Bytes, _Bytes]:
    """Return the upper and lower bytes of all samples, uint8 [H, W, channels]."""
    raw_mode = _raw_mode(image)
    if _is_grey(image):
        grey = np.asarray(image)[..., None]
        return (grey >> 8).astype(np.uint8), (grey & 0xFF).astype(np.uint8)
    if raw_mode == _GREY_ALPHA:
        # Four bytes a pixel, read as if they were four channels.
        both = _decoded(image, "RGBA")
        return both[..., 0::2], both[..., 1::2]
    upper = np.asarray(image)
    file.seek(0)
    with Image.open(file, formats=[image.format or ""]) as again:
        return upper, _decoded(again, _UPPER_TO_LOWER[raw_mode])


def _is_grey(image: ImageFile.ImageFile) -> bool:
    return image.mode.startswith("I;16")


def _raw_mode(image: ImageFile.ImageFile) -> str:
    """Return the raw mode of an image's pixels: alone in the arguments of a PNG's decoder."""
    args = image.tile[0].args
    return str(args[0] if isinstance(args, tuple) else args)


def _decoded(image: ImageFile.ImageFile, raw_mode: str) -> _Bytes:
    """Decode the pixels by another raw mode, which has as many bits a pixel."""
    image.tile = [
        tile._replace(args=(raw_mode, *tile.args[1:]) if isinstance(tile.args, tuple) else raw_mode)
        for tile in image.tile
    ]
    return np.asarray(image)


def _depth(upper: _Bytes, lower: _Bytes, declared: int | None) -> int:
    """Return how many of the 16 bits the samples use, counted from the lowest.

    `declared` are the significant bits by a PNG's sBIT. By the PNG specification they are the
    upper ones, but writers that only copy a camera's values use the lower ones. 8-bit samples that
    were converted to 16 have the same byte twice.
    """
    largest = int(upper.max())
    if declared is not None:
        return declared if largest < 1 << (declared - 8) else 16
    if np.array_equal(upper, lower):
        return 16
    return next(depth for depth in _DEPTHS if largest < 1 << (depth - 8))


def _scaled(upper: _Bytes, lower: _Bytes, depth: int) -> _Bytes:
    """Return the upper eight of the lowest `depth` bits."""
    if depth == 8:
        return lower
    if depth == 16:
        return upper
    return (upper << np.uint8(16 - depth)) | (lower >> np.uint8(depth - 8))


def _declared_bits(image: ImageFile.ImageFile, file: IO[bytes], channels: int) -> int | None:
    """Return the bits that the file declares; None where it does not say so."""
    if image.format == "JPEG2000":  # its decoder has scaled the declared bits to 16
        return 16
    if image.format != "PNG":
        return None
    file.seek(0)
    return _significant_bits(file.read(), channels)


def _significant_bits(data: bytes, channels: int) -> int | None:
    """Return the bits by a PNG's sBIT of the colours, 8 to 16; None where it does not say so."""
    content = b""
    with contextlib.suppress(*STRUCTURE_ERRORS):
        content = next(
            (data[start + 8 : end - 4] for kind, start, end in png_chunks(data) if kind == b"sBIT"),
            b"",
        )
    bits = max(content[:channels], default=0)
    return bits if 8 <= bits <= 16 else None
