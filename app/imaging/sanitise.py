"""Sanitising: an image is stored as its file without metadata, or as a PNG of the same pixels."""

import io
from dataclasses import dataclass
from itertools import pairwise

from PIL import Image, ImageFile

from app.imaging import turbo
from app.imaging.colours import blended, unblended
from app.imaging.identity import Identity, identify
from app.imaging.lean import lean
from app.imaging.reading import (
    ImageLimits,
    UnreadableImageError,
    is_jpeg,
    opened,
    orientation,
    scales_while_decoding,
    stays_jpeg,
    turned_upright,
)
from app.imaging.segments import STRUCTURE_ERRORS, UPRIGHT, strip_jpeg, strip_png, strip_webp

_MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
}
# Of 12 million pixels, the usual level 6 takes twice as long as this one and saves a twelfth.
_PNG_LEVEL = 4
# Offset of the byte in a PNG's header that gives the bits per channel.
_PNG_DEPTH_AT = 24
# Bytes that a decoder reads as pixels while it still misses some: without 0xFF, and repeated after
# each restart marker that it may be waiting for.
_BITS = bytes((37 * i * i + 91 * i + 53) % 251 for i in range(64))
_NOISE = _BITS + b"".join(bytes((0xFF, 0xD0 + i)) + _BITS for i in range(8))


@dataclass(frozen=True)
class SanitisedImage:
    """An image as it is stored; width and height in pixels, after the EXIF orientation."""

    data: bytes
    media_type: str
    width: int
    height: int
    identity: Identity


def sanitise(data: bytes, limits: ImageLimits) -> SanitisedImage:
    """Check that an image can be trained on, and return what to store of it.

    The same bytes always give the same result, and `decode` gives the same pixels for the result
    as for `data`, by all `app.imaging.rules`. Raises UnreadableImageError.
    """
    with opened(data, limits) as image:
        data = lean(data)
        decoded = turbo.pixels(image) if is_jpeg(image) and image.mode == "RGB" else None
        # Only of a JPEG: of others, asking for the orientation loads the pixels.
        turned = orientation(image) if is_jpeg(image) else UPRIGHT
        flawless = decoded is not None
        jpeg = _stripped_jpeg(data, turned, flawless=flawless) if is_jpeg(image) else None
        if decoded is None:
            pixels = unblended(image)
        else:
            pixels = turned_upright(Image.fromarray(decoded), turned)
        identity = identify(blended(pixels), decoded if turned == UPRIGHT else None)
        del decoded  # large
        stripped = _without_metadata(data, image, jpeg)
        media_type = _MEDIA_TYPES.get(image.format or "", "")
        must_stay_jpeg = scales_while_decoding(image)
    # Unchanged bytes were decoded just now. Changed bytes must decode to the same pixels.
    if stripped is None or (stripped != data and not _shows(stripped, pixels)):
        if must_stay_jpeg:
            raise UnreadableImageError("the JPEG's structure is damaged or unusual")
        stripped, media_type = _as_png(pixels), "image/png"
    return SanitisedImage(stripped, media_type, *pixels.size, identity)


def _without_metadata(data: bytes, image: ImageFile.ImageFile, jpeg: bytes | None) -> bytes | None:
    """Return the file without its metadata; None where the rest does not define its pixels.

    `jpeg` is the result for a JPEG.
    """
    if stays_jpeg(image):
        return jpeg
    turned = orientation(image)
    # A PNG that Pillow writes would have 8 bits, so one of 16 stays as it is, and says how it lies.
    deep = image.format == "PNG" and data[_PNG_DEPTH_AT] == 16
    if turned != UPRIGHT and not deep:
        return None
    try:
        if image.format == "PNG":
            return strip_png(data, turned)
        if image.format == "WEBP" and not getattr(image, "is_animated", False):
            return strip_webp(data)
    except STRUCTURE_ERRORS:
        return None
    return None


def _shows(data: bytes, pixels: Image.Image) -> bool:
    try:
        with opened(data, None) as image:
            shown = unblended(image)
            return (shown.mode, shown.size) == (pixels.mode, pixels.size) and (
                shown.tobytes() == pixels.tobytes()
            )
    except UnreadableImageError:
        return False


def _as_png(pixels: Image.Image) -> bytes:
    # Pillow would write the original file's metadata into the PNG.
    pixels.info = {}
    file = io.BytesIO()
    pixels.save(file, "PNG", compress_level=_PNG_LEVEL)
    return file.getvalue()


def _stripped_jpeg(data: bytes, turned: int, *, flawless: bool) -> bytes | None:
    """Return a JPEG without its metadata; None where its structure cannot be followed.

    One is `flawless` if libjpeg-turbo decoded it without a warning, as it warns of missing rows.

    Raises UnreadableImageError for a JPEG whose scans hold fewer rows than its header announces.
    The decoder fills missing rows with grey without an error. But it reads on if bytes follow a
    scan, so noise after the scans changes the image exactly when rows are missing.
    """
    try:
        stripped, scan_ends = strip_jpeg(data, turned)
    except STRUCTURE_ERRORS:
        return None
    if flawless:
        return stripped
    noisy = _NOISE.join(stripped[start:end] for start, end in pairwise([0, *scan_ends, None]))
    if _thumbnail(stripped) != _thumbnail(noisy):
        raise UnreadableImageError("the image is truncated: its header announces more than it has")
    return stripped


def _thumbnail(data: bytes) -> bytes:
    with opened(data, None) as image:
        # At an eighth of the size every block is read, but little is computed.
        image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
        return image.tobytes()
