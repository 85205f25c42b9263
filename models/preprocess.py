"""From uint8 pixels to the network's input. Part of every version."""

from typing import Self

import torch
from torch import Tensor, nn

from models.inference import parts_of
from models.state import Tensors

# The only rules of releases that did not number them, so stored parts without a number mean these.
FIRST_PIXEL_RULES = 1
_PIXEL_RULES = "pixel_rules"


def pixel_rules(part: Tensors) -> int:
    """Return the number of the rules by which a version's images became pixels, from its part."""
    return int(part[_PIXEL_RULES]) if _PIXEL_RULES in part else FIRST_PIXEL_RULES


class Preprocess(nn.Module):
    """Subtract a mean and divide by a deviation per channel.

    Both are in [0, 1] units, fixed at the first task or given by pretrained weights. The same
    module trains, evaluates and serves. `pixel_rules` is the number of the rules by which files
    became the pixels of the first task. Those of all later images must come by the same.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor, pixel_rules: int = FIRST_PIXEL_RULES) -> None:
        super().__init__()
        self.pixel_rules = pixel_rules
        self.register_buffer("mean", mean.float().clone())
        self.register_buffer("std", std.float().clone())

    @classmethod
    def fitted(cls, images: Tensor, pixel_rules: int = FIRST_PIXEL_RULES) -> Self:
        """Return the preprocessing with mean and deviation of uint8 images [N, 3, S, S]."""
        # Counted by value: exact, in whatever batches, which hold the memory in bounds.
        counts = torch.zeros(3, 256, dtype=torch.int64, device=images.device)
        for part in parts_of(len(images), images.shape[2]):
            channels = images[part].transpose(0, 1).flatten(1)
            counts += torch.stack([each.bincount(minlength=256) for each in channels])
        values = torch.arange(256, dtype=torch.float64, device=images.device) / 255
        shares = counts.double() / counts.sum(dim=1, keepdim=True)
        mean = shares @ values
        std = (shares @ values.square() - mean.square()).clamp_min(0).sqrt()
        # Images of one flat colour have a deviation of zero.
        return cls(mean, std.clamp_min(1 / 255), pixel_rules)

    @classmethod
    def from_state(cls, part: Tensors) -> Self:
        """Return the preprocessing of which `state` returned these tensors."""
        return cls(part["mean"], part["std"], pixel_rules(part))

    def state(self) -> Tensors:
        """Return the tensors that define the module."""
        rules = torch.tensor(self.pixel_rules, device=self.mean.device)
        return {"mean": self.mean, "std": self.std, _PIXEL_RULES: rules}

    def forward(self, images: Tensor) -> Tensor:
        """Return float32 [B, 3, S, S] from uint8 [B, 3, S, S]."""
        scale = (1 / (255 * self.std)).view(1, 3, 1, 1)
        shift = (self.mean / self.std).view(1, 3, 1, 1)
        return images.float() * scale - shift
