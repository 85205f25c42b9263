"""A classifier's spec: its fields, their defaults, and how stored ones are read.

The fields of training, with their defaults, are those of `models.spec`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, StringConstraints, model_validator

from app.db.tables import Classifier
from app.services.requests import RequestBody
from models.spec import Spec

Name = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100),
    Field(description="Letters, digits, dot, underscore and hyphen: it is part of URLs."),
]
ValidationFraction = Annotated[float, Field(ge=0, lt=1)]
Hardware = Literal["any", "gpu"]


class Promotion(RequestBody):
    """When a new version becomes `live` by itself."""

    policy: Literal["always", "guarded", "manual"] = "always"
    max_accuracy_drop: float | None = Field(
        None, ge=0, le=1, description="For `guarded`: on the classes that were known before."
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
        description="How many of the newest versions are kept, beside those that an alias names "
        "or a job starts from; null keeps all.",
    )


class _Named(BaseModel):
    # A base of its own, and the last, so that the name is the first field of the body.
    name: Name


class ClassifierSpec(RequestBody, Spec, _Named):
    """What a classifier is: the body of ``POST /v1/classifiers``."""

    validation_fraction: ValidationFraction = Field(
        0.1, description="Part of each upload that is held out and measured on."
    )
    keep_images: bool = Field(
        False, description="Keep every image that was learnt from: uploads stay until deleted."
    )
    pinned: bool = Field(
        False,
        description="Whether API processes keep the live version in memory, while all pinned ones "
        "fit: the first prediction does not wait for it.",
    )
    hardware: Hardware = "any"
    promotion: Promotion = Promotion()
    retention: Retention = Retention()

    def for_training(self, options: Mapping[str, Any] | None = None) -> Spec:
        """Return what the learning core needs, with a job's options over the classifier's own.

        Only the shape is checked here: `models.methods.validate` checks the options.
        """
        fields = {name: getattr(self, name) for name in Spec.model_fields}
        return Spec.model_validate({**fields, "options": {**self.options, **(options or {})}})


def spec_of(row: Classifier) -> ClassifierSpec:
    """Return a stored classifier's spec.

    Fields that the release which stored it did not know have their defaults, and those of a newer
    release are left out.
    """
    known = ClassifierSpec.model_fields.keys() & row.spec.keys()
    return ClassifierSpec.model_validate({name: row.spec[name] for name in known})
