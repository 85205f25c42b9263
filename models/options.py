"""Options that methods share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(gt=0, lt=1)]


class Options(BaseModel):
    """Base of every method's options: unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class SGDOptions(Options):
    """Options of training by stochastic gradient descent with momentum."""

    epochs: int = Field(70, ge=1, le=10_000, description="Passes over the images in a step.")
    batch_size: int | None = Field(
        None, ge=2, le=8192, description="Images a step; 32 under 2,000 images and 128 above."
    )
    lr: float | None = Field(
        None,
        gt=0,
        description="Learning rate. Where null 0.1·√(batch size / 128), and a tenth of it for a "
        "pretrained backbone.",
    )
    momentum: float = Field(0.9, ge=0, lt=1)
    max_grad_norm: float | None = Field(
        None,
        gt=0,
        description="Longer gradients are scaled down to this norm, 5 where null, so that no step "
        "is too long.",
    )
    weight_decay: float = Field(5e-4, ge=0)
    milestones: tuple[Fraction, ...] = Field(
        (0.6, 0.85), description="Fractions of training after which the learning rate falls."
    )
    lr_decay: float = Field(0.1, gt=0, le=1, description="Factor by which the learning rate falls.")
