"""Training images on the device: decoded once to uint8, augmented there batch by batch.

An epoch's order, crops and flips are drawn beforehand from counter-based generators, so that a
batch depends on (seed, training phase, epoch, position in the epoch) alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import torch
from torch import Tensor

from models.augment.policy import PolicyDraws
from models.compute import sent_to
from models.networks import Activations
from models.on_disk import read_ahead
from models.seeds import generator

# Below this many images, small batches give enough optimizer steps; above it they cost time.
SMALL_SET = 2000


@dataclass(frozen=True)
class ImageSet:
    """uint8 images [N, 3, S, S] and the column [N] of each one's class.

    `fresh` [N] marks images of this step's uploads, as opposed to exemplars. `reencoded`
    uint8 [F, 3, S, S] are the fresh ones, in order, as the exemplar memory would keep them; None
    where it keeps images as they were sent. `columns` and `fresh` are on the device. So are
    `images` and `reencoded`, unless they are `on_disk`: then they are memory-mapped, on the CPU.
    """

    images: Tensor
    columns: Tensor
    fresh: Tensor
    reencoded: Tensor | None = None
    on_disk: bool = False

    def __len__(self) -> int:
        return len(self.images)

    @property
    def home(self) -> torch.device:
        """The device of the images, where positions have to be that choose among them."""
        return self.images.device

    def pixels(self, positions: Tensor, reencoded: Tensor | None = None) -> Tensor:
        """Return the images [n, 3, S, S] at positions [n], on the device.

        Of those that the boolean `reencoded` [n] marks, or of all where it is None, it is the
        re-encoded form, as far as there is one: exemplars are in their form already. Positions and
        `reencoded` are at `home`.
        """
        images = self.images[positions]
        if self.reencoded is not None and len(self.reencoded):
            wanted = self._fresh_at_home[positions]
            if reencoded is not None:
                wanted = wanted & reencoded
            found = self.reencoded[self._fresh_ranks[positions]]
            images = torch.where(wanted[:, None, None, None], found, images)
        return sent_to(images, self.columns.device)

    def as_sent(self, positions: Tensor) -> Tensor:
        """Return the images [n, 3, S, S] at positions [n] on the device, none re-encoded."""
        return sent_to(self.images[positions.to(self.home)], self.columns.device)

    def read_ahead(self, positions: Tensor, reencoded: Tensor | None = None) -> None:
        """Ask the disk for what `pixels` will be asked for; nothing where images are in memory."""
        if not self.on_disk:
            return
        read_ahead(self.images, positions)
        if self.reencoded is not None:
            wanted = self._fresh_at_home[positions]
            if reencoded is not None:
                wanted = wanted & reencoded
            read_ahead(self.reencoded, self._fresh_ranks[positions[wanted]])

    @cached_property
    def _fresh_at_home(self) -> Tensor:
        return self.fresh.to(self.home)

    @cached_property
    def _fresh_ranks(self) -> Tensor:
        """By position, the row in `reencoded` of a fresh image, and some row for others [N]."""
        return (self._fresh_at_home.cumsum(0) - 1).clamp_min(0)


@dataclass
class Batch:
    """Augmented, normalised images [B, 3, S, S] of an optimizer step; the rest as in `ImageSet`."""

    images: Tensor
    columns: Tensor
    fresh: Tensor
    ask_teacher: Callable[[Tensor], Activations]

    @cached_property
    def teacher(self) -> Activations:
        """The teacher's activations of the same augmented images: the network before the step."""
        return self.ask_teacher(self.images)


def batch_size(option: int | None, images: int) -> int:
    """Return the batch size: as given, or 32 for small sets and 128 for others."""
    return option or (32 if images < SMALL_SET else 128)


class EpochPlan(NamedTuple):
    """The order and the augmentation of the images in one epoch.

    `order` [N] are positions in the image set, `rows` and `cols` [N] the corner of each crop in the
    padded image, `flips` [N] whether it is mirrored. `reencoded` [N] is whether its re-encoded form
    is taken, where there are such; `policy` are the draws of AutoAugment and Cutout, where these
    are asked for.
    """

    order: Tensor
    rows: Tensor
    cols: Tensor
    flips: Tensor
    reencoded: Tensor | None = None
    policy: PolicyDraws | None = None

    @classmethod
    def draw(cls, count: int, crop: int, flip: bool, seed: int, phase: int, epoch: int) -> Self:
        """Draw the plan of an epoch over `count` images."""
        draws = generator(seed, "epoch", phase, epoch)
        order = torch.randperm(count, generator=draws)
        if count == 1:  # batch norm needs two images: the one is in its batch twice
            order = order.repeat(2)
        return cls._augmenting(order, crop, flip, draws)

    @classmethod
    def draw_pairs(
        cls,
        order: Tensor,
        columns: Tensor,
        crop: int,
        flip: bool,
        seed: int,
        phase: int,
        epoch: int,
    ) -> Self:
        """Draw a partner of the same class for each image of an epoch, with its own augmentation.

        Partners are drawn uniformly and may be the image itself. `order` [N] is the epoch's,
        `columns` the class of every image of the set.
        """
        draws = generator(seed, "pairs", phase, epoch)
        by_class = columns.argsort(stable=True)
        counts = columns.bincount()
        firsts = counts.cumsum(0) - counts
        own = columns[order]
        chosen = torch.rand(len(order), dtype=torch.double, generator=draws) * counts[own]
        return cls._augmenting(by_class[firsts[own] + chosen.long()], crop, flip, draws)

    @classmethod
    def _augmenting(cls, order: Tensor, crop: int, flip: bool, draws: torch.Generator) -> Self:
        rows = torch.randint(2 * crop + 1, (len(order),), generator=draws)
        cols = torch.randint(2 * crop + 1, (len(order),), generator=draws)
        flips = torch.rand(len(order), generator=draws) < (0.5 if flip else 0.0)
        return cls(order, rows, cols, flips)

    def with_reencoded(self, count: int, seed: int, phase: int, epoch: int) -> "EpochPlan":
        """Draw for each of the set's `count` images whether the epoch sees its re-encoded form.

        Half of them, so that the network does not learn that compression means an old class.
        """
        chances = torch.rand(count, generator=generator(seed, "reencoded", phase, epoch))
        return self._replace(reencoded=(chances < 0.5)[self.order])

    def with_policy(
        self, size: int, seed: int, phase: int, epoch: int, use: str = "epoch"
    ) -> "EpochPlan":
        """Draw AutoAugment and Cutout for images of `size` pixels; `use` tells apart plans."""
        draws = generator(seed, "policy", use, phase, epoch)
        return self._replace(policy=PolicyDraws.draw(len(self.order), size, draws))

    def to(self, device: torch.device, home: torch.device) -> "EpochPlan":
        """Return the plan on a device; what chooses images goes to their `home`.

        The policy's draws stay: they say what to do on the device.
        """
        return EpochPlan(
            sent_to(self.order, home),
            sent_to(self.rows, device),
            sent_to(self.cols, device),
            sent_to(self.flips, device),
            None if self.reencoded is None else sent_to(self.reencoded, home),
            self.policy,
        )

    def batches(self, size: int) -> "list[EpochPlan]":
        """Split the plan into batches of `batch_sizes`."""
        sizes = batch_sizes(len(self.order), size)
        absent = [None] * len(sizes)
        parts = (absent if part is None else part.split(sizes) for part in self)
        return [EpochPlan(*each) for each in zip(*parts, strict=True)]


def batch_sizes(count: int, size: int) -> list[int]:
    """Return the sizes of the batches of `count` images, of which full ones have `size`.

    A rest below half a batch shares with the batch before it: over few images batch norm's
    statistics are so far off that training diverges, over one there are none.
    """
    full, rest = divmod(count, size)
    sizes = [size] * full + [rest] * (rest > 0)
    if full and 0 < rest < max(2, size / 2):
        both = size + rest
        sizes[-2:] = [both - both // 2, both // 2] if both >= 4 else [both]
    return sizes


def steps_per_epoch(count: int, size: int) -> int:
    """Return how many batches an `EpochPlan` over `count` images gives."""
    return len(batch_sizes(max(count, 2), size))


def crop_and_flip(images: Tensor, plan: EpochPlan, crop: int, fill: Tensor) -> Tensor:
    """Pad images [B, 3, S, S], crop them at the plan's corners, and mirror those that it flips.

    The padding is `crop` pixels wide and of colour `fill` [3], of the images' type.
    """
    count, channels, size, _ = images.shape
    padded = fill.view(1, channels, 1, 1).repeat(count, 1, size + 2 * crop, size + 2 * crop)
    padded[:, :, crop : crop + size, crop : crop + size] = images
    along = torch.arange(size, device=images.device)
    y = plan.rows[:, None] + along
    x = plan.cols[:, None] + torch.where(plan.flips[:, None], size - 1 - along, along)
    which = torch.arange(count, device=images.device)[:, None, None]
    # Channels last is the memory format that convolutions want.
    return padded.permute(0, 2, 3, 1)[which, y[:, :, None], x[:, None, :]].permute(0, 3, 1, 2)
