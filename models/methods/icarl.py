"""iCaRL: incremental classifier and representation learning (Rebuffi et al., CVPR 2017)."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional

from models.batches import Batch
from models.classify import Servable, Sigmoid, Softmax
from models.errors import InvalidSpecError
from models.methods.base import Phase
from models.methods.distillation import soft_cross_entropy
from models.methods.rehearsal import Rehearsal
from models.methods.sgd import MAX_GRAD_NORM, sgd_phase
from models.networks import Activations
from models.options import Array, Fraction, SGDOptions
from models.spec import Spec
from models.step import Step


class ICaRLOptions(SGDOptions):
    """Options of iCaRL. The defaults here are for `bce`; `ce_kd` has the other methods' defaults.

    The paper's rate of 2.0 is for the mean over 100 outputs. With their sum, as here, a hundredth
    of the rate and 100 times the decay give the same trajectory.
    """

    lr: float | None = Field(
        None,
        gt=0,
        description="Learning rate. Where null 0.02, with ce_kd 0.1·√(batch size / 128); a tenth "
        "for a pretrained backbone.",
    )
    weight_decay: float = Field(2e-3, ge=0, description="5e-4 with ce_kd.")
    max_grad_norm: float | None = Field(
        None,
        gt=0,
        description="Longer gradients are scaled down to this norm. Where null 5, and 25 with bce "
        "and no pretrained weights, which leaves the paper's training as it is.",
    )
    milestones: Array[Fraction] = Field(
        (0.7, 0.9),
        description="Fractions of training after which the learning rate falls; 0.6 and 0.85 with "
        "ce_kd.",
    )
    lr_decay: float = Field(
        0.2, gt=0, le=1, description="Factor by which the learning rate falls; 0.1 with ce_kd."
    )
    loss: Literal["bce", "ce_kd"] = Field(
        "bce",
        description="bce: sigmoids and binary cross-entropy, as in the paper. ce_kd: softmax "
        "cross-entropy with distillation at T = 2, the common variant.",
    )

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_loss(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("loss") == "ce_kd":
            return {**_CE_KD, **given}
        return given


_CE_KD = {
    name: SGDOptions.model_fields[name].default
    for name in ("weight_decay", "milestones", "lr_decay")
}
BCE_LR = 0.02
# Sums over classes have longer gradients: up to 18.5 was measured on the paper's network.
SCRATCH_BCE_NORM = 25.0


class ICaRL(Rehearsal[ICaRLOptions]):
    """Distils the old classes, rehearses exemplars, classifies by their nearest mean."""

    name = "icarl"
    summary = "Keeps a few images of each class and classifies by the nearest mean of them."
    paper = "Rebuffi, Kolesnikov, Sperl, Lampert: iCaRL, CVPR 2017"
    Options = ICaRLOptions
    classify = ("nearest_mean", "softmax", "discriminant")

    @classmethod
    def check(cls, spec: Spec, options: ICaRLOptions) -> None:
        """Refuse a regularizer with `bce`, whose sigmoids have no softmax to regularize."""
        if spec.regularizer is not None and options.loss == "bce":
            raise InvalidSpecError(
                "/regularizer",
                "icarl's sigmoids have no softmax to regularize: set options.loss to ce_kd",
            )

    def phases(self, step: Step) -> Sequence[Phase]:
        """Update the representation on new images and exemplars together (Alg. 3)."""
        options, parameters = self.options, self.network.parameters()
        if options.loss == "ce_kd":
            return [sgd_phase(options, step, parameters)]
        norm = SCRATCH_BCE_NORM if step.spec.weights is None else MAX_GRAD_NORM
        phase = sgd_phase(options, step, parameters, default_lr=BCE_LR, default_norm=norm)
        return [phase]

    def loss(self, step: Step, batch: Batch, outputs: Activations) -> Tensor:
        """Return the loss of Alg. 3, or its softmax variant."""
        logits, old = outputs.logits, step.known
        if self.options.loss == "bce":
            targets = bce_targets(batch, logits, old)
            bce = functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
            return bce / len(logits)
        classification = super().loss(step, batch, outputs)
        if not old:
            return classification
        distillation = soft_cross_entropy(logits[:, :old], batch.teacher.logits, 2.0)
        return classification + distillation

    def head(self) -> Servable:
        """Return the head with the loss's own activation."""
        head = Sigmoid if self.options.loss == "bce" else Softmax
        return head(self.preprocess, self.network)


def bce_targets(batch: Batch, logits: Tensor, old: int) -> Tensor:
    """Return the targets of the paper's loss, shaped and typed like the logits [B, C].

    Old columns hold the teacher's sigmoids for every row, exemplars included: an exemplar has no
    hard label. New columns are one-hot. A fresh image of a known class (`extend`) has its hard
    label in that class's column as well.
    """
    # Not `one_hot`, which looks at the values: a wait for the device.
    columns = torch.arange(logits.shape[1], device=logits.device)
    targets = (batch.columns[:, None] == columns).to(logits.dtype)
    if old:
        taught = targets[:, :old].bool() & batch.fresh[:, None]
        targets[:, :old] = batch.teacher.logits.sigmoid().masked_fill(taught, 1.0)
    return targets
