"""What a classifier is to the learning core: validated, serialisable, immutable."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.json_values import GivenOptions, Text

# How an image that is not square becomes one.
Resize = Literal["squash", "pad", "crop"]
ImageSize = Annotated[int, Field(ge=8, le=1024)]
FalseAlarms = Annotated[float, Field(gt=0, lt=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class Augment(_Frozen):
    """Augmentation of training images, drawn again each epoch."""

    crop: int | None = Field(
        None, ge=0, description="Padding around a random crop; image_size/8 if null."
    )
    flip: bool = Field(
        True,
        description="Wrong for digits, letters and signs.",
    )
    policy: Literal["none", "auto"] = Field(
        "none",
        description="auto: AutoAugment and Cutout, for long training.",
    )


class Budget(_Frozen):
    """Bound of the exemplar memory over all classes, in images or in stored bytes, and its form."""

    exemplars: int | None = Field(None, ge=1)
    megabytes: float | None = Field(None, gt=0, description="10^6 bytes.")
    format: Literal["original", "webp"] = Field(
        "original",
        description="`webp`: as the network sees them.",
    )
    quality: int = Field(75, ge=0, le=100)

    @model_validator(mode="after")
    def _one_unit(self) -> Self:
        if (self.exemplars is None) == (self.megabytes is None):
            raise ValueError("give either exemplars or megabytes")
        return self


class Settings(_Frozen):
    """The fields of a spec that need no choice among networks: each has a default that works.

    `options` are validated by the method's own `Options`; see `models.methods.validate`.
    """

    options: GivenOptions = Field(
        default_factory=dict, description="The method's; each has a default."
    )
    resize: Resize = "squash"
    memory: Budget = Budget(exemplars=2000)
    regularizer: GivenOptions | None = None
    augment: Augment = Augment()
    false_alarms: FalseAlarms = Field(
        0.05,
        description="Share of known images that may be called unknown.",
    )
    seed: int = Field(1993, ge=0, lt=2**63)


class Spec(Settings):
    """Method, network and budget of a classifier."""

    method: Text = "icarl"
    backbone: Text = "resnet32"
    weights: Text | None = None
    image_size: ImageSize = 32

    @classmethod
    def stored(cls, fields: Mapping[str, Any]) -> Self:
        """Return a stored spec. Fields that another release has added are left out.

        Raises ValidationError for a value that is not known here.
        """
        known = cls.model_fields.keys() & fields.keys()
        return cls.model_validate({name: fields[name] for name in known})

    @property
    def crop(self) -> int:
        """Pixels of padding around the random crop."""
        return self.image_size // 8 if self.augment.crop is None else self.augment.crop
