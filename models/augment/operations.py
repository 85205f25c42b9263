"""The operations of AutoAugment on a batch, each image with a magnitude of its own.

They do what Pillow's `ImageOps`, `ImageEnhance` and nearest-neighbour `transform` do. Images are
uint8 [B, 3, S, S]; magnitudes [B] are described in `policy.magnitude`.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from models.augment.policy import NAMES

# From images, magnitudes and the colour [3] of what comes in from outside, to the changed images.
Operation = Callable[[Tensor, Tensor, Tensor], Tensor]


def _plain(change: Callable[[Tensor], Tensor]) -> Operation:
    """Return an operation without a magnitude."""
    return lambda images, _magnitudes, _fill: change(images)


def _of_torchvision(name: str) -> Operation:
    """Return an operation of torchvision's.

    Imported at first use: with all that torchvision imports, it takes 170 MB of memory, which a
    process that serves does not need.
    """

    def change(images: Tensor) -> Tensor:
        from torchvision.transforms.v2 import functional  # noqa: PLC0415

        changed: Tensor = getattr(functional, name)(images)
        return changed

    return _plain(change)


def _with_value(change: Callable[[Tensor, Tensor], Tensor]) -> Operation:
    """Return an operation on each value by the image's magnitude, given as [B, 1, 1, 1]."""
    return lambda images, magnitudes, _fill: change(images, magnitudes[:, None, None, None])


def _enhancing(degenerate: Callable[[Tensor], Tensor]) -> Operation:
    """Return an operation that goes from a degenerate form to the image, and beyond or less far."""

    def enhance(images: Tensor, changes: Tensor) -> Tensor:
        start = degenerate(images).float()
        return (start + (1 + changes) * (images - start)).clamp(0, 255).to(torch.uint8)

    return _with_value(enhance)


def _grey(images: Tensor) -> Tensor:
    """Return the luminance [B, 1, S, S] by ITU-R 601, rounded as Pillow rounds it."""
    red, green, blue = images.int().split(1, dim=1)
    grey: Tensor = (19595 * red + 38470 * green + 7471 * blue + 2**15) >> 16
    return grey


def _mean_grey(images: Tensor) -> Tensor:
    return (_grey(images).double().mean(dim=(1, 2, 3), keepdim=True) + 0.5).floor()


def _smooth(images: Tensor) -> Tensor:
    """Return means of nine pixels, of which the middle counts five times; the outermost stay."""
    smooth = images.int()
    total = 4 * smooth[:, :, 1:-1, 1:-1]
    for across in smooth.unfold(2, 3, 1).unbind(-1):
        total = total + across.unfold(3, 3, 1).sum(dim=-1)
    smooth[:, :, 1:-1, 1:-1] = (2 * total + 13) // 26
    return smooth


def _posterize(images: Tensor, bits: Tensor) -> Tensor:
    steps = 2 ** (8 - bits.int())
    return (images // steps * steps).to(torch.uint8)


def _solarize(images: Tensor, least: Tensor) -> Tensor:
    return torch.where(images < least, images, 255 - images)


def _invert(images: Tensor) -> Tensor:
    return 255 - images


# The rows (a, b, c) and (d, e, f) of an affine map, entries [B] or numbers: the pixel at (x, y)
# comes from (ax + by + c, dx + ey + f).
_Row = tuple[Tensor | float, Tensor | float, Tensor | float]
# From magnitudes and the coordinate of the image's middle.
_Map = Callable[[Tensor, float], tuple[_Row, _Row]]


def _shear_y(slopes: Tensor, _middle: float) -> tuple[_Row, _Row]:
    return (1, 0, 0), (slopes, 1, 0)


def _translate_x(pixels: Tensor, _middle: float) -> tuple[_Row, _Row]:
    return (1, 0, pixels), (0, 1, 0)


def _translate_y(pixels: Tensor, _middle: float) -> tuple[_Row, _Row]:
    return (1, 0, 0), (0, 1, pixels)


def _rotate(degrees: Tensor, middle: float) -> tuple[_Row, _Row]:
    cos, sin = degrees.deg2rad().cos(), degrees.deg2rad().sin()
    return (cos, -sin, middle * (1 - cos + sin)), (sin, cos, middle * (1 - cos - sin))


def _moving(to_map: _Map) -> Operation:
    """Return an operation that takes pixels from other places."""

    def move(images: Tensor, magnitudes: Tensor, fill: Tensor) -> Tensor:
        size = images.shape[2]
        centres = torch.arange(size, device=images.device) + 0.5
        y, x = centres[:, None], centres[None, :]
        # In float64, so that only what lies between two pixels depends on rounding.
        to_x, to_y = (
            (_spread(a) * x + _spread(b) * y + _spread(c)).floor().long()
            for a, b, c in to_map(magnitudes.double(), size / 2)
        )
        inside = (to_x >= 0) & (to_x < size) & (to_y >= 0) & (to_y < size)
        which = torch.arange(len(images), device=images.device)[:, None, None]
        to_x, to_y = to_x.clamp(0, size - 1), to_y.clamp(0, size - 1)
        found = images.permute(0, 2, 3, 1)[which, to_y, to_x]
        return torch.where(inside[..., None], found, fill).permute(0, 3, 1, 2)

    return move


def _spread(entry: Tensor | float) -> Tensor | float:
    return entry[:, None, None] if isinstance(entry, Tensor) else entry


_BY_NAME: Mapping[str, Operation] = {
    "shear_y": _moving(_shear_y),
    "translate_x": _moving(_translate_x),
    "translate_y": _moving(_translate_y),
    "rotate": _moving(_rotate),
    "brightness": _enhancing(torch.zeros_like),
    "color": _enhancing(_grey),
    "contrast": _enhancing(_mean_grey),
    "sharpness": _enhancing(_smooth),
    "posterize": _with_value(_posterize),
    "solarize": _with_value(_solarize),
    "auto_contrast": _of_torchvision("autocontrast"),
    "equalize": _of_torchvision("equalize"),
    "invert": _plain(_invert),
}
OPERATIONS: tuple[Operation, ...] = tuple(_BY_NAME[name] for name in NAMES)
