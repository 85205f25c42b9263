"""Applying the draws of `policy` to a batch: AutoAugment, then Cutout."""

import torch
from torch import Tensor

from models.augment.operations import OPERATIONS
from models.augment.policy import PolicyDraws
from models.compute import sent_to


def auto_augment(images: Tensor, draws: PolicyDraws, fill: Tensor) -> Tensor:
    """Return images uint8 [B, 3, S, S] after their two operations each and Cutout.

    `draws` are on the CPU, so that no operation waits for the device. What comes in from outside
    and Cutout's square have the colour `fill` [3], of the images' type.
    """
    images = images.clone()  # keeps the memory format
    for turn in range(draws.operations.shape[1]):
        _take_turn(images, draws.operations[:, turn], draws.magnitudes[:, turn], fill)
    return cutout(images, sent_to(draws.centres, images.device), fill)


def _take_turn(images: Tensor, operations: Tensor, magnitudes: Tensor, fill: Tensor) -> None:
    """Change each image in place by its operation [B]: one call for all images of an operation."""
    order = operations.argsort(stable=True)
    # What gets no operation comes first: its position is -1.
    none, *counts = (operations + 1).bincount(minlength=len(OPERATIONS) + 1).tolist()
    positions = sent_to(order[none:], images.device).split(counts)
    sorted_magnitudes = sent_to(magnitudes[order[none:]], images.device).split(counts)
    for operation, chosen, given in zip(OPERATIONS, positions, sorted_magnitudes, strict=True):
        if len(chosen):
            images[chosen] = operation(images[chosen], given, fill)


def cutout(images: Tensor, centres: Tensor, fill: Tensor) -> Tensor:
    """Return images [B, 3, S, S] with a square of S/2 pixels around centres [B, 2] filled.

    That is the paper's 16 pixels of 32. A part of the square may lie outside.
    """
    size = images.shape[2]
    side = size // 2
    along = torch.arange(size, device=images.device)
    starts = centres[:, :, None] - side // 2
    within = (along >= starts) & (along < starts + side)
    hidden = within[:, 0, None, :, None] & within[:, 1, None, None, :]
    return torch.where(hidden, fill.view(1, -1, 1, 1), images)
