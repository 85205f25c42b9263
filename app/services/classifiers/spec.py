"""A classifier's spec: its fields, their defaults, and how stored ones are read.

The fields of training, with their defaults, are those of `models.spec`. What a request leaves open
of method and network is chosen in `choices`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, StringConstraints, model_validator

from app.db.tables import Classifier
from app.services.classifiers.annotations import Annotations
from app.services.requests import NAME, RequestBody
from models.json_values import Text
from models.spec import ImageSize, Settings, Spec

Name = Annotated[
    str,
    StringConstraints(max_length=100),
    NAME,
]
ValidationFraction = Annotated[float, Field(ge=0, lt=1)]
Hardware = Literal["any", "gpu"]
# An image without a side over this many pixels is small: more pixels would show nothing more of it.
SMALL_SIDE = 64


class Promotion(RequestBody):
    """When a new version becomes `live` by itself."""

    policy: Literal["always", "guarded", "manual"] = "always"
    max_accuracy_drop: float | None = Field(
        None, ge=0, le=1, description="For `guarded`: on older classes."
    )

    @model_validator(mode="after")
    def _drop_goes_with_guarded(self) -> Self:
        if (self.policy == "guarded") != (self.max_accuracy_drop is not None):
            raise ValueError("max_accuracy_drop goes with the policy guarded, and only with it")
        return self


class Retention(RequestBody):
    """Which versions are kept."""

    keep_last: int | None = Field(
        None,
        ge=1,
        description="The newest so many stay, and those in use; null: all.",
    )


class _Named(BaseModel):
    name: Name


# pydantic puts the fields of the last base first, so that a body begins with name and method.
class _Requested(BaseModel):
    """Method and network as a request names them: what is null is chosen."""

    method: Text | None = Field(
        None,
        description="One of GET /v1/methods. Null: `analytic`, or `icarl` with `options`, "
        "`memory`, a `regularizer` or a backbone without weights.",
    )
    backbone: Text | None = Field(
        None,
        description="One of GET /v1/backbones. Null: `efficientnet_lite0` for `analytic`, else "
        "`resnet32`.",
    )
    weights: Text | None = Field(
        None,
        description="Pretrained weights: DEFAULT, a name, or a .safetensors file. Null: DEFAULT "
        "for `analytic`, else none.",
    )
    image_size: ImageSize | None = Field(
        None,
        description="Side in pixels. Null: 32, but for `analytic` by the first images: 96 where "
        "most are small, else 160.",
    )


class _Chosen(BaseModel):
    """Method and network of a classifier."""

    method: Text = "icarl"
    backbone: Text = "resnet32"
    weights: Text | None = None
    image_size: ImageSize | None = Field(
        32,
        description="Side in pixels; null until the first images decide.",
    )


class ClassifierFields(RequestBody, Settings, Annotations):
    """The fields that requests and classifiers have alike."""

    validation_fraction: ValidationFraction = Field(
        0.1, description="Part of each upload that is held out."
    )
    keep_images: bool = Field(False, description="Keep uploads that were learnt.")
    pinned: bool = Field(
        False,
        description="Keep the live version in memory.",
    )
    hardware: Hardware = "any"
    promotion: Promotion = Promotion()
    retention: Retention = Retention()


class NewClassifier(ClassifierFields, _Requested, _Named):
    """The body of ``POST /v1/classifiers``."""


class ClassifierSpec(ClassifierFields, _Chosen, _Named):
    """What a classifier is, as it is stored and shown."""

    def for_training(self, options: Mapping[str, Any] | None = None) -> Spec:
        """Return what the learning core needs, with a job's options over the classifier's own.

        Only the shape is checked here: `models.methods.validate` checks the options. The image size
        must be known.
        """
        fields = {name: getattr(self, name) for name in Spec.model_fields}
        return Spec.model_validate({**fields, "options": {**self.options, **(options or {})}})


def sized(spec: ClassifierSpec, image_size: int) -> ClassifierSpec:
    """Return the spec with an image size, and the random crop that goes with it."""
    with_size = spec.model_copy(update={"image_size": image_size})
    augment = spec.augment.model_copy(update={"crop": with_size.for_training().crop})
    return with_size.model_copy(update={"augment": augment})


def spec_of(row: Classifier) -> ClassifierSpec:
    """Return a stored classifier's spec.

    Fields that the release which stored it did not know have their defaults, and those of a newer
    release are left out.
    """
    known = ClassifierSpec.model_fields.keys() & row.spec.keys()
    return ClassifierSpec.model_validate({name: row.spec[name] for name in known})
