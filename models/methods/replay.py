"""Replay: exemplars with their labels, in a softmax that accounts for how few they are."""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.batches import Batch
from models.methods.base import Phase
from models.methods.distillation import soft_cross_entropy
from models.methods.rehearsal import Rehearsal
from models.methods.sgd import sgd_phase
from models.networks import Activations
from models.options import SGDOptions
from models.step import Step


class Replay(Rehearsal[SGDOptions]):
    """Trains on new images and exemplars with a balanced softmax and distillation.

    A few exemplars of old classes beside many images of new ones teach the head mostly that old
    classes are rare. The balanced softmax (Ren et al., NeurIPS 2020, eq. 3; the logit adjustment of
    Menon et al., ICLR 2021, eq. 10 with τ = 1) adds the logarithms of the classes' numbers of
    images to the logits in training. Without them the logits predict as if classes were equally
    frequent.
    """

    name = "replay"
    summary = "Keeps a few images of each class and trains a head that their number does not bias."
    paper = (
        "Ren, Yu, Sheng, Ma, Zhao, Yi, Li: Balanced Meta-Softmax, NeurIPS 2020, "
        "with the exemplars of iCaRL"
    )
    Options = SGDOptions
    classify = ("softmax", "discriminant", "nearest_mean")

    prior: Tensor  # [C], logarithms of the numbers of images in this step

    def begin(self, step: Step) -> None:
        """Grow the head, and count the images of each class that this step trains on."""
        super().begin(step)
        counts = torch.bincount(step.data.columns, minlength=len(step.tasks)).float()
        # Without an image a class is out of the softmax, and all logarithms are finite.
        self.prior = counts.clamp_min(torch.finfo(counts.dtype).tiny).log()

    def phases(self, step: Step) -> Sequence[Phase]:
        """Train every weight in one phase, on new images and exemplars together."""
        return [sgd_phase(self.options, step, self.network.parameters())]

    def view(self, step: Step, logits: Tensor, columns: Tensor) -> Tensor:
        """Return the logits with the prior: z + log n."""
        return logits + self.prior

    def loss(self, step: Step, batch: Batch, outputs: Activations) -> Tensor:
        """Return the cross-entropy of `view` + distillation of the old columns at T = 2.

        Distillation is without the prior: the teacher's logits have none either.
        """
        classification = super().loss(step, batch, outputs)
        if not step.known:
            return classification
        old = outputs.logits[:, : step.known]
        return classification + soft_cross_entropy(old, batch.teacher.logits, 2.0)
