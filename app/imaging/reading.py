"""Opening images: accepted formats, size limits, EXIF orientation."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pi_heif
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from app.imaging import av1, tiff
from app.imaging.lean import lean
from app.imaging.recognise import damage, is_image, recognise
from app.imaging.segments import UPRIGHT

# Formats with one fixed decoder each. Formats that draw (SVG, EPS) or embed others are excluded.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "HEIF", "AVIF", "JPEG2000")

# Of what a HEIF file holds, only its main picture is read.
pi_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)

# Formats whose decoders turn an image upright themselves, by their own rules.
_TURNED_WHILE_DECODING = ("TIFF", "HEIF")

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


class TooLargeError(UnreadableImageError):
    """The image has more bytes or pixels than the limits allow."""


@dataclass(frozen=True)
class ImageLimits:
    """Bounds of one image."""

    bytes: int
    pixels: int


# For images that were checked when they came in.
STORED = ImageLimits(bytes=sys.maxsize, pixels=sys.maxsize)


@contextmanager
def opened(data: bytes, limits: ImageLimits | None) -> Iterator[ImageFile.ImageFile]:
    """Open an image and check its size before a pixel is decoded (decompression bombs).

    What says nothing about its pixels is left out before. Without `limits`, only Pillow's own
    limit holds, or the largest that this process has used.

    Raises UnreadableImageError, also for errors inside the `with` block.
    """
    if not data:
        raise UnreadableImageError("the file is empty")
    if limits is not None and len(data) > limits.bytes:
        raise TooLargeError(f"the file is larger than {limits.bytes} bytes")
    if limits is not None:
        _let_pillow_open(limits.pixels)
    try:
        with Image.open(io.BytesIO(lean(data)), formats=FORMATS) as image:
            if limits is not None:
                _check_pixels(image, data, limits.pixels)
            if (kind := tiff.refused(image, data)) is not None:
                raise UnreadableImageError(kind)
            yield image
    except UnreadableImageError:
        raise
    except UnidentifiedImageError as error:
        other = recognise(data)
        if is_image(data):
            raise UnreadableImageError(other or damage(data)) from error
        but = "" if other is None else f" but {other}"
        raise UnreadableImageError(f"not an image in {', '.join(FORMATS)}{but}") from error
    except Image.DecompressionBombError as error:
        raise TooLargeError("the image has far too many pixels") from error
    except Exception as error:  # damaged files make the decoders raise nearly anything
        raise UnreadableImageError(damage(data)) from error


def _check_pixels(image: ImageFile.ImageFile, data: bytes, most: int) -> None:
    """Raise TooLargeError for an image of more than `most` pixels."""
    if image.width * image.height > most:
        raise TooLargeError(
            f"the image has more than {most} pixels ({image.width} by {image.height})"
        )
    if image.format == "AVIF" and av1.decoded_pixels(data) > most:
        raise TooLargeError(f"a picture in the file has more than {most} pixels")
    if tiff.decoded_pixels(image) > most:
        raise TooLargeError(f"a tile in the file has more than {most} pixels")


def _let_pillow_open(pixels: int) -> None:
    """Raise Pillow's own limit to at least this: it refuses more than twice of it.

    It is one for the process, and some of its decoders allocate memory before `opened` sees a size.
    """
    if Image.MAX_IMAGE_PIXELS is None or pixels > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = pixels


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation (1 to 8) that is still to be applied; 1 also if it is invalid."""
    if image.format in _TURNED_WHILE_DECODING:
        return UPRIGHT
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, UPRIGHT)
    except Exception:  # metadata that cannot be read does not concern the pixels
        return UPRIGHT
    return value if value in _TURNS else UPRIGHT


def is_jpeg(image: ImageFile.ImageFile) -> bool:
    """Say whether the image is a JPEG; Pillow calls a JPEG file with several pictures MPO."""
    return image.format in ("JPEG", "MPO")


def scales_while_decoding(image: ImageFile.ImageFile) -> bool:
    """Say whether `decode` lets the JPEG decoder scale: only for upright JPEGs that stay JPEGs.

    A CMYK JPEG is stored as a PNG, for which that scaling could not be repeated. So were rotated
    ones by earlier releases.
    """
    return stays_jpeg(image) and orientation(image) == UPRIGHT


def stays_jpeg(image: ImageFile.ImageFile) -> bool:
    """Say whether the image is a JPEG that can be stored as one: not in CMYK."""
    return is_jpeg(image) and image.mode in ("L", "RGB")


def turned_upright(image: Image.Image, turned: int) -> Image.Image:
    """Return an image of EXIF orientation `turned` as it is to be shown."""
    return image if turned == UPRIGHT else image.transpose(_TURNS[turned])
