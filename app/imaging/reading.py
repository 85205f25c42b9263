"""Opening images: accepted formats, size limits, EXIF orientation, conversion to RGB."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from app.imaging.recognise import recognise

# Formats with one fixed decoder each. Formats that draw (SVG, EPS) or embed others are excluded.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")

UPRIGHT = 1
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnreadableImageError(Exception):
    """The bytes are not an image that can be trained on; the text says why."""


@dataclass(frozen=True)
class ImageLimits:
    """Bounds of one image."""

    bytes: int
    pixels: int


@contextmanager
def opened(data: bytes, limits: ImageLimits | None) -> Iterator[ImageFile.ImageFile]:
    """Open an image and check its size before a pixel is decoded (decompression bombs).

    Raises UnreadableImageError, also for errors inside the `with` block.
    """
    if not data:
        raise UnreadableImageError("the file is empty")
    if limits is not None and len(data) > limits.bytes:
        raise UnreadableImageError(f"the file is larger than {limits.bytes} bytes")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if limits is not None and image.width * image.height > limits.pixels:
                raise UnreadableImageError(
                    f"the image has more than {limits.pixels} pixels "
                    f"({image.width} by {image.height})"
                )
            yield image
    except UnreadableImageError:
        raise
    except UnidentifiedImageError as error:
        other = recognise(data)
        but = "" if other is None else f" but {other}"
        raise UnreadableImageError(f"not an image in {', '.join(FORMATS)}{but}") from error
    except Image.DecompressionBombError as error:
        raise UnreadableImageError("the image has far too many pixels") from error
    except Exception as error:  # damaged files make the decoders raise nearly anything
        raise UnreadableImageError("the image is damaged or truncated") from error


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation (1 to 8), 1 where it is missing or invalid."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, UPRIGHT)
    except Exception:  # metadata that cannot be read does not concern the pixels
        return UPRIGHT
    return value if value in _TURNS else UPRIGHT


def is_jpeg(image: ImageFile.ImageFile) -> bool:
    """Say whether the image is a JPEG; Pillow calls a JPEG file with several pictures MPO."""
    return image.format in ("JPEG", "MPO")


def scales_while_decoding(image: ImageFile.ImageFile) -> bool:
    """Say whether `decode` lets the JPEG decoder scale: only for JPEGs that are stored as JPEGs.

    A rotated or CMYK JPEG is stored as a PNG, for which that scaling could not be repeated.
    """
    return is_jpeg(image) and image.mode in ("L", "RGB") and orientation(image) == UPRIGHT


def to_rgb(image: Image.Image) -> Image.Image:
    """Return the image as training and prediction see it: upright 8-bit RGB, alpha over white."""
    image.load()
    turned = orientation(image)
    rgb = _over_white(_to_eight_bits(image))
    return rgb if turned == UPRIGHT else rgb.transpose(_TURNS[turned])


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey down; converting it would clip at 255."""
    if not image.mode.startswith("I"):
        return image
    grey = np.asarray(image).astype(np.int64)
    eight = Image.fromarray((grey >> 8).clip(0, 255).astype(np.uint8))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        eight.putalpha(Image.fromarray(np.where(grey == transparent, 0, 255).astype(np.uint8)))
    return eight


def _over_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, rgba).convert("RGB")
