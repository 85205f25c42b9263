"""AutoAugment's policy for CIFAR-10 (Cubuk et al., CVPR 2019, Table 7), and the draws of an epoch.

Of 25 sub-policies each image gets one: two operations, each with a probability and a magnitude.
Cutout (DeVries and Taylor, 2017) follows.
"""

from typing import NamedTuple, Self

import torch
from torch import Tensor

# The names of `operations.OPERATIONS`; draws name them by position.
NAMES = (
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "color",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "auto_contrast",
    "equalize",
    "invert",
)
# Their magnitudes have a direction, which is drawn.
_SIGNED = NAMES[:8]
_BINS = 10
# At the last bin an image moves by this share of its size: 150 of the 331 pixels of the paper's
# ImageNet.
_FARTHEST = 150 / 331
# Each sub-policy as (operation, probability in tenths, bin of the magnitude) twice. Operations
# without a magnitude have bin 0.
_SUB_POLICIES = (
    ("invert", 1, 0, "contrast", 2, 6),
    ("rotate", 7, 2, "translate_x", 3, 9),
    ("sharpness", 8, 1, "sharpness", 9, 3),
    ("shear_y", 5, 8, "translate_y", 7, 9),
    ("auto_contrast", 5, 0, "equalize", 9, 0),
    ("shear_y", 2, 7, "posterize", 3, 7),
    ("color", 4, 3, "brightness", 6, 7),
    ("sharpness", 3, 9, "brightness", 7, 9),
    ("equalize", 6, 0, "equalize", 5, 0),
    ("contrast", 6, 7, "sharpness", 6, 5),
    ("color", 7, 7, "translate_x", 5, 8),
    ("equalize", 3, 0, "auto_contrast", 4, 0),
    ("translate_y", 4, 3, "sharpness", 2, 6),
    ("brightness", 9, 6, "color", 2, 8),
    ("solarize", 5, 2, "invert", 0, 0),
    ("equalize", 2, 0, "auto_contrast", 6, 0),
    ("equalize", 2, 0, "equalize", 6, 0),
    ("color", 9, 9, "equalize", 6, 0),
    ("auto_contrast", 8, 0, "solarize", 2, 8),
    ("brightness", 1, 3, "color", 7, 0),
    ("solarize", 4, 5, "auto_contrast", 9, 0),
    ("translate_y", 9, 9, "translate_y", 7, 9),
    ("auto_contrast", 9, 0, "solarize", 8, 3),
    ("equalize", 8, 0, "invert", 1, 0),
    ("translate_y", 7, 9, "auto_contrast", 9, 0),
)
# What the position of no operation is.
NOTHING = -1


class SubPolicies(NamedTuple):
    """The sub-policies as tables [25, 2]: operations, their probabilities and their magnitudes."""

    operations: Tensor
    probabilities: Tensor
    magnitudes: Tensor

    @classmethod
    def of(cls, size: int) -> Self:
        """Return the tables for images of `size` pixels, with magnitudes as in `magnitude`."""
        halves = [(row[:3], row[3:]) for row in _SUB_POLICIES]
        return cls(
            torch.tensor([[NAMES.index(name) for name, _, _ in pair] for pair in halves]),
            torch.tensor([[tenths / 10 for _, tenths, _ in pair] for pair in halves]),
            torch.tensor([[magnitude(name, at, size) for name, _, at in pair] for pair in halves]),
        )


def magnitude(name: str, at: int, size: int) -> float:
    """Return an operation's magnitude at one of ten bins, without direction.

    Shear is a slope, translation in pixels of an image of `size`, rotation in degrees, posterize
    the bits that stay, solarize the least value to invert; the others a change of factor 1.
    """
    part = at / (_BINS - 1)
    if name in ("translate_x", "translate_y"):
        return float(int(_FARTHEST * size * part))
    if name == "posterize":
        return float(8 - round(4 * part))
    if name == "solarize":
        return 255 * (1 - part)
    return {"shear_y": 0.3, "rotate": 30.0}.get(name, 0.9) * part


class PolicyDraws(NamedTuple):
    """What was drawn for N images.

    `operations` [N, 2] are positions in `NAMES` or `NOTHING`, `magnitudes` [N, 2] have their
    direction, `centres` [N, 2] are the row and column of the middle of Cutout's square.
    """

    operations: Tensor
    magnitudes: Tensor
    centres: Tensor

    @classmethod
    def draw(cls, count: int, size: int, draws: torch.Generator) -> Self:
        """Draw for `count` images of `size` pixels."""
        table = SubPolicies.of(size)
        chosen = torch.randint(len(_SUB_POLICIES), (count,), generator=draws)
        happens = torch.rand((count, 2), generator=draws) < table.probabilities[chosen]
        backwards = torch.rand((count, 2), generator=draws) < 0.5
        centres = torch.randint(size, (count, 2), generator=draws)
        operations, magnitudes = table.operations[chosen], table.magnitudes[chosen]
        signed = operations < len(_SIGNED)
        return cls(
            operations.where(happens, torch.tensor(NOTHING)),
            torch.where(backwards & signed, -magnitudes, magnitudes),
            centres,
        )

    def split(self, sizes: list[int]) -> "list[PolicyDraws]":
        """Split the draws into those of consecutive images, as `Tensor.split` does."""
        return [PolicyDraws(*each) for each in zip(*(p.split(sizes) for p in self), strict=True)]
