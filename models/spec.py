"""What the learning core knows of a classifier: validated, serialisable, immutable."""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Augment(_Frozen):
    """Augmentation of training images, drawn again for each epoch."""

    crop: int | None = Field(
        None, ge=0, description="Pixels of zero padding around a random crop; image_size/8 if null."
    )
    flip: bool = Field(
        True,
        description="Mirror half of the images; class means average both views. "
        "Wrong for digits, letters and signs.",
    )


class Budget(_Frozen):
    """Bound of the exemplar memory over all classes: a number of images or of stored bytes."""

    exemplars: int | None = Field(None, ge=1, description="Images in all.")
    megabytes: float | None = Field(None, gt=0, description="Stored bytes in all, in 10^6.")

    @model_validator(mode="after")
    def _one_unit(self) -> Self:
        if (self.exemplars is None) == (self.megabytes is None):
            raise ValueError("give either exemplars or megabytes")
        return self


class Spec(_Frozen):
    """Method, network and budget of a classifier.

    `options` are validated by the method's own `Options`; see `models.methods.validate`.
    """

    method: str = "icarl"
    options: dict[str, Any] = Field(default_factory=dict)
    backbone: str = "resnet32"
    weights: str | None = Field(
        None, description="Pretrained weights: DEFAULT, a name, or a .safetensors file."
    )
    image_size: Annotated[int, Field(ge=8, le=1024)] = 32
    memory: Budget = Budget(exemplars=2000)
    regularizer: dict[str, Any] | None = None
    augment: Augment = Augment()
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1993

    @property
    def crop(self) -> int:
        """Pixels of padding around the random crop."""
        return self.image_size // 8 if self.augment.crop is None else self.augment.crop
