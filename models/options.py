"""Options that methods share."""

from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, Strict, model_validator

Value = TypeVar("Value")
# An array of JSON, which Python reads as a list; its values are of the strict types.
Array = Annotated[tuple[Value, ...], Strict(False)]
Fraction = Annotated[float, Field(gt=0, lt=1)]


class Options(BaseModel):
    """Base of every method's options: unknown ones are refused, and "3" and true are not 3."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class SGDOptions(Options):
    """Options of training by stochastic gradient descent with momentum, or by AdamW."""

    epochs: int | None = Field(
        70,
        ge=1,
        le=10_000,
        description="Passes over the images in a step. null: as many as it takes until the "
        "accuracy on held-out images stops rising, at most 200.",
    )
    batch_size: int | None = Field(
        None, ge=2, le=8192, description="Images a step; 32 under 2,000 images and 128 above."
    )
    optimizer: Literal["sgd", "adamw"] = Field(
        "sgd", description="sgd: with momentum, as in the papers. adamw: Adam, decay apart."
    )
    lr: float | None = Field(
        None,
        gt=0,
        description="Learning rate. Where null 0.1·√(batch size / 128), with adamw 3e-3, and a "
        "tenth of it for a pretrained backbone.",
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="With adamw its first beta.")
    max_grad_norm: float | None = Field(
        None,
        gt=0,
        description="Longer gradients are scaled down to this norm, 5 where null, so that no step "
        "is too long.",
    )
    weight_decay: float = Field(5e-4, ge=0)
    schedule: Literal["steps", "cosine", "one_cycle"] = Field(
        "steps",
        description="How the rate changes. steps: it falls at `milestones`. cosine: it rises over "
        "the first 5 %, then falls to nothing. one_cycle: it rises over the first 30 %, then falls "
        "to nothing.",
    )
    milestones: Array[Fraction] = Field(
        (0.6, 0.85), description="Fractions of training after which the learning rate falls."
    )
    lr_decay: float = Field(0.1, gt=0, le=1, description="Factor by which the learning rate falls.")

    @model_validator(mode="after")
    def _length_is_known(self) -> Self:
        if self.epochs is None and self.schedule != "steps":
            raise ValueError(
                f"the schedule {self.schedule} has to know the number of epochs: give epochs, or "
                "take the schedule steps"
            )
        return self
