"""From an opened image to upright 8-bit RGB: depth, transparency, colour model, orientation.

These are the rules of `app.imaging.rules`. They look at nothing but the one image.
"""

import numpy as np
from PIL import Image, ImageFile

from app.imaging.deep import eight_bits, is_deep
from app.imaging.reading import orientation, turned_upright
from app.imaging.rules import CURRENT, FIRST

_WHITE = (255, 255, 255)
_GREY = (128, 128, 128)
# White hides a colour whose channels all are at least this.
_NEAR_WHITE = 224
# Of ten parts of what is visible, as many must be near white before grey takes its place.
_HIDDEN_TENTHS = 9


def to_rgb(image: ImageFile.ImageFile, rules: int = CURRENT) -> Image.Image:
    """Return an opened image as training and prediction see it: upright 8-bit RGB.

    Its pixels must not be loaded yet.
    """
    # By the first rules, PNG was the only format of 16 bits.
    if rules == FIRST and image.format == "PNG" and is_deep(image):
        image.load()
        return turned_upright(_over(_WHITE, _upper_byte(image)), orientation(image))
    return blended(unblended(image), rules)


def blended(shown: Image.Image, rules: int = CURRENT) -> Image.Image:
    """Return what `unblended` returned, without transparency."""
    if shown.mode == "RGB":
        return shown
    return _over(_WHITE if rules == FIRST else _background(shown), shown)


def unblended(image: ImageFile.ImageFile) -> Image.Image:
    """Return an opened image as upright 8-bit RGB, or RGBA where it has transparency.

    What the rules differ in for images of 8 bits comes after this. The image's pixels must not be
    loaded yet.
    """
    if is_deep(image):
        shown = eight_bits(image)
    else:
        image.load()
        shown = image
    mode = "RGBA" if shown.has_transparency_data else "RGB"
    converted = shown if shown.mode == mode else shown.convert(mode)
    return turned_upright(converted, orientation(image))


def _over(background: tuple[int, int, int], image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, background), rgba).convert("RGB")


def _background(rgba: Image.Image) -> tuple[int, int, int]:
    """Return white; or grey where nearly all that is visible, weighted by alpha, is near white."""
    pixels = np.asarray(rgba)
    alpha = pixels[..., 3]
    visible = int(alpha.sum(dtype=np.int64))
    near_white = int(alpha[(pixels[..., :3] >= _NEAR_WHITE).all(axis=2)].sum(dtype=np.int64))
    return _GREY if visible and 10 * near_white >= _HIDDEN_TENTHS * visible else _WHITE


def _upper_byte(image: Image.Image) -> Image.Image:
    """Return a loaded 16-bit PNG as the first rules did. Pillow drops lower bytes, but of grey."""
    if image.mode != "I;16":
        return image
    grey = np.asarray(image)
    eight = Image.fromarray((grey >> 8).astype(np.uint8))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        eight.putalpha(Image.fromarray(np.where(grey == transparent, 0, 255).astype(np.uint8)))
    return eight
