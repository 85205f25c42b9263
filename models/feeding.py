"""What a training phase trains on: the batches of an epoch, and their augmented images.

All draws depend on the position in the training alone, so a resumed training has the same.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from models.augment.auto import auto_augment
from models.batches import EpochPlan, ImageSet, crop_and_flip
from models.preprocess import Preprocess
from models.step import Step

# The images of an optimizer step and, where they are paired, another of its class for each.
Batches = tuple[EpochPlan, EpochPlan | None]
# For how many optimizer steps ahead the disk reads images, where they are on one.
_AHEAD = 4


class Feed:
    """The batches and images of a step's training phases."""

    def __init__(self, step: Step, preprocess: Preprocess, *, paired: bool) -> None:
        """`paired` adds to each image another one of its class, for a regularizer."""
        self._step = step
        self._preprocess = preprocess
        self._paired = paired
        # Padding has the mean colour: black would hint at dark classes.
        self._fill = (preprocess.mean * 255).round().to(torch.uint8)

    def epoch(self, images: ImageSet, batch_size: int, phase: int, epoch: int) -> list[Batches]:
        """Return the batches of an epoch."""
        step, spec, key = self._step, self._step.spec, (phase, epoch)
        draws = spec.crop, spec.augment.flip, step.seed, *key
        plan = self._completed(EpochPlan.draw(len(images), *draws), images, key, "epoch")
        where = step.compute.device, images.home
        batches = plan.to(*where).batches(batch_size)
        if not self._paired:
            return [(batch, None) for batch in batches]
        pairs = EpochPlan.draw_pairs(plan.order, images.columns.cpu(), *draws)
        pairs = self._completed(pairs, images, key, "pairs")
        return list(zip(batches, pairs.to(*where).batches(batch_size), strict=True))

    def ahead(self, images: ImageSet, batches: Sequence[Batches]) -> Iterator[Batches]:
        """Yield batches, while the disk reads those that follow, where images are on one."""
        for index, batch in enumerate(batches):
            last = index + _AHEAD
            for following in batches[last if index else 0 : last + 1]:
                for plan in following:
                    if plan is not None:
                        images.read_ahead(plan.order, plan.reencoded)
            yield batch

    def images(self, images: ImageSet, chosen: EpochPlan) -> Tensor:
        """Return the images of a batch, augmented and normalised [B, 3, S, S]."""
        pixels = images.pixels(chosen.order, chosen.reencoded)
        pixels = crop_and_flip(pixels, chosen, self._step.spec.crop, self._fill)
        if chosen.policy is not None:
            pixels = auto_augment(pixels, chosen.policy, self._fill)
        normalised: Tensor = self._preprocess(pixels)
        return normalised

    def _completed(
        self, plan: EpochPlan, images: ImageSet, key: tuple[int, int], use: str
    ) -> EpochPlan:
        """Return the plan with the draws that `memory.format` and `augment.policy` ask for."""
        spec, seed = self._step.spec, self._step.seed
        if images.reencoded is not None:
            plan = plan.with_reencoded(len(images), seed, *key)
        if spec.augment.policy == "auto":
            plan = plan.with_policy(spec.image_size, seed, *key, use)
        return plan
