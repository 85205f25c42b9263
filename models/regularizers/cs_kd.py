"""CS-KD: class-wise self-knowledge distillation (Yun et al., CVPR 2020)."""

from typing import ClassVar

from pydantic import Field
from torch import Tensor
from torch.nn import functional

from models.options import Options


class CSKDOptions(Options):
    """Options of CS-KD, as a regularizer and as a method."""

    temperature: float = Field(
        4.0, gt=0, le=1000, description="What logits are divided by before they are compared."
    )
    weight: float = Field(
        1.0,
        ge=0,
        le=1000,
        description="Weight beside the cross-entropy; 3 suits classes that look alike.",
    )


class CSKDRegularizer:
    """Makes the predictions for two images of a class alike, wrong answers included."""

    name: ClassVar[str] = "cs_kd"
    Options: ClassVar[type[CSKDOptions]] = CSKDOptions

    def __init__(self, options: CSKDOptions) -> None:
        self.options = options

    def loss(self, own: Tensor, pair: Tensor) -> Tensor:
        """Return weight · T² · KL(softmax(pair/T) ‖ softmax(own/T)), averaged over the batch.

        `own` [B, C] are the logits of the images trained on, `pair` [B, C] those of another image
        of the same class each, which get no gradient.
        """
        temperature = self.options.temperature
        divergence = functional.kl_div(
            (own / temperature).log_softmax(dim=1),
            (pair.detach() / temperature).log_softmax(dim=1),
            reduction="batchmean",
            log_target=True,
        )
        return self.options.weight * temperature**2 * divergence
