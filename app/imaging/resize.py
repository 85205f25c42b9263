"""Resizing an image to a square, by one of `models.spec.Resize`."""

from PIL import Image

from models.spec import Resize

# What `pad` fills with: half of white, in every version the same.
_PADDING = (128, 128, 128)
# Images are first reduced by whole numbers to at least this many times their new size: fast, and
# hardly different from filtering alone.
_REDUCING_GAP = 2.0


def to_square(
    rgb: Image.Image, side: int, resize: Resize, proportions: tuple[int, int]
) -> Image.Image:
    """Return an RGB image as a square of `side` pixels.

    `proportions` are the width and height to keep: those of the file, of which `rgb` may be a
    reduced form whose own are rounded.
    """
    if resize == "squash":
        return _resized(rgb, (side, side))
    width, height = proportions
    if resize == "pad":
        longest = max(width, height)
        inner = _resized(rgb, (_part(width, longest, side), _part(height, longest, side)))
        square = Image.new("RGB", (side, side), _PADDING)
        square.paste(inner, ((side - inner.width) // 2, (side - inner.height) // 2))
        return square
    # The largest square in the middle, in the pixels of `rgb`.
    shortest = min(width, height)
    across, down = rgb.width * shortest / width, rgb.height * shortest / height
    left, top = (rgb.width - across) / 2, (rgb.height - down) / 2
    return _resized(rgb, (side, side), (left, top, left + across, top + down))


def _part(length: int, longest: int, side: int) -> int:
    """Return length / longest of `side`, rounded half up, at least 1."""
    return max(1, (2 * length * side + longest) // (2 * longest))


def _resized(
    rgb: Image.Image,
    size: tuple[int, int],
    box: tuple[float, float, float, float] | None = None,
) -> Image.Image:
    if rgb.size == size and box in (None, (0, 0, *size)):
        return rgb
    return rgb.resize(size, Image.Resampling.BILINEAR, box, reducing_gap=_REDUCING_GAP)
