"""What is stored of an image: the file without its metadata, or a PNG of the same pixels."""

import io
from dataclasses import dataclass

from PIL import Image, ImageFile

from app.imaging.reading import (
    UPRIGHT,
    ImageLimits,
    UnreadableImageError,
    is_jpeg,
    opened,
    orientation,
    scales_while_decoding,
    to_rgb,
)
from app.imaging.segments import STRUCTURE_ERRORS, strip_jpeg, strip_png, strip_webp

_MEDIA_TYPES = {
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
}
# Where a PNG's header says how many bits a channel has.
_PNG_DEPTH_AT = 24
# What a decoder takes for pixels when it still misses some: any bytes without 0xFF, and again
# behind each restart marker that it may be waiting for.
_BITS = bytes((37 * i * i + 91 * i + 53) % 251 for i in range(64))
_NOISE = _BITS + b"".join(bytes((0xFF, 0xD0 + i)) + _BITS for i in range(8))


@dataclass(frozen=True)
class SanitisedImage:
    """An image as it is stored; width and height in pixels, as every reader sees them."""

    data: bytes
    media_type: str
    width: int
    height: int


def sanitise(data: bytes, limits: ImageLimits) -> SanitisedImage:
    """Prove that an image can be trained on, and return what to store of it.

    The same bytes always give the same result, and `decode` gives the same pixels for both.
    Raises UnreadableImageError.
    """
    with opened(data, limits) as image:
        if is_jpeg(image):
            _refuse_missing_rows(data)
        pixels = to_rgb(image)
        kept = _without_metadata(data, image)
        media_type = _MEDIA_TYPES.get(image.format or "", "")
        must_stay_jpeg = scales_while_decoding(image)
    # A file that lost nothing has just been decoded; one that did must show the same.
    if kept is None or (kept != data and not _shows(kept, pixels)):
        if must_stay_jpeg:
            raise UnreadableImageError("the JPEG's structure is damaged or unusual")
        kept, media_type = _as_png(pixels), "image/png"
    return SanitisedImage(kept, media_type, pixels.width, pixels.height)


def _without_metadata(data: bytes, image: ImageFile.ImageFile) -> bytes | None:
    """Return the file less its metadata; None where its pixels depend on more than it keeps."""
    if orientation(image) != UPRIGHT:
        return None
    animated = getattr(image, "is_animated", False)
    try:
        if scales_while_decoding(image):
            return strip_jpeg(data)
        if image.format == "PNG" and not animated and data[_PNG_DEPTH_AT] <= 8:
            return strip_png(data)
        if image.format == "WEBP" and not animated:
            return strip_webp(data)
    except STRUCTURE_ERRORS:
        return None
    return None


def _shows(data: bytes, pixels: Image.Image) -> bool:
    try:
        with opened(data, None) as image:
            rgb = to_rgb(image)
            return rgb.size == pixels.size and rgb.tobytes() == pixels.tobytes()
    except UnreadableImageError:
        return False


def _as_png(pixels: Image.Image) -> bytes:
    # What the picture remembers of its file would be written out again.
    pixels.info = {}
    file = io.BytesIO()
    pixels.save(file, "PNG")
    return file.getvalue()


def _refuse_missing_rows(data: bytes) -> None:
    """Refuse a JPEG whose header announces more rows than its scans hold.

    The decoder fills such rows with grey and says nothing. It does read on where there is more to
    read: noise behind the scans changes the picture exactly when some of it was missing.
    """
    try:
        whole, noisy = strip_jpeg(data), strip_jpeg(data, after_scan=_NOISE)
    except STRUCTURE_ERRORS:
        return
    if _thumbnail(whole) != _thumbnail(noisy):
        raise UnreadableImageError("the image is truncated: its header announces more than it has")


def _thumbnail(data: bytes) -> bytes:
    with opened(data, None) as image:
        # One value a block: every block is read, and little is computed.
        image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
        return image.tobytes()
