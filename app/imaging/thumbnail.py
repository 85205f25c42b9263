"""Thumbnails: images as pages show many of them."""

import io

from PIL import Image

from app.imaging.colours import to_rgb
from app.imaging.reading import STORED, opened, scales_while_decoding

MEDIA_TYPE = "image/webp"
_QUALITY = 80


def thumbnail(data: bytes, side: int) -> bytes:
    """Return a stored image as WebP, at most `side` pixels wide and high, and never enlarged.

    Raises UnreadableImageError.
    """
    with opened(data, STORED) as image:
        if scales_while_decoding(image):
            image.draft(None, (side, side))
        shown = to_rgb(image)
        shown.thumbnail((side, side), Image.Resampling.BILINEAR)
        file = io.BytesIO()
        shown.save(file, "WEBP", quality=_QUALITY, method=2)
    return file.getvalue()
