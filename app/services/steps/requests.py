"""The requests a job is made of: to learn, forget, correct or evaluate."""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    Strict,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    field_validator,
)
from typing_extensions import TypeAliasType

from app.db.tables import Job
from app.services.classifiers.annotations import Annotations
from app.services.classifiers.references import NumberOrAlias
from app.services.jobs.fields import JobFields
from app.services.labels import clean_label
from app.services.requests import RequestBody, Sha256, UploadId
from models.json_values import GivenOptions

OnExisting = Literal["error", "extend"]


class VersionJobFields(JobFields, Annotations):
    """Fields of the requests that make a version; the annotations are of that."""

    base_version: NumberOrAlias | None = Field(
        None,
        description="Number or alias to start from; null: `live`.",
    )


class LearnFields(VersionJobFields):
    """What a request to learn says, whatever images it brings."""

    options: GivenOptions = Field(default_factory=dict, description="In place of the classifier's.")
    on_existing: OnExisting = Field(
        "error", description="`extend` takes more images of known classes."
    )


class LearnRequest(LearnFields):
    """Learn the images of uploads."""

    kind: Literal["learn"] = "learn"
    uploads: list[UploadId] = Field(min_length=1, max_length=1000)


def _one_error(value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """Say in one error what pydantic would say in one for each alternative."""
    try:
        return validate(value)
    except ValidationError:
        raise ValueError('is not true, false or "now"') from None


# A deletion cannot be undone, so "yes" and 1 are not taken for true.
Purge = Annotated[Annotated[bool, Strict()] | Literal["now"], WrapValidator(_one_error)]


class ForgetRequest(VersionJobFields):
    """Make a version without some classes."""

    kind: Literal["forget"]
    classes: list[Annotated[str, AfterValidator(clean_label)]] = Field(
        min_length=1, max_length=10_000
    )
    purge: Purge = Field(
        False,
        description="Also delete versions and uploads with them. `now`: their bytes at once.",
    )


class Correction(RequestBody):
    """What an image is, or that it is left out."""

    sha256: Sha256 = Field(description="Of the file, or of its pixels.")
    label: Annotated[str, AfterValidator(clean_label)] | None = Field(
        description="A class that the version knows; null: leave it out."
    )


class CorrectRequest(VersionJobFields):
    """Make a version in which images have other labels, or are left out."""

    kind: Literal["correct"]
    images: list[Correction] = Field(min_length=1, max_length=10_000)


Classify = Literal["auto", "nearest_mean", "softmax", "discriminant"]


class EvaluateRequest(JobFields):
    """Say how right a version is, on labelled images."""

    kind: Literal["evaluate"]
    base_version: NumberOrAlias | None = Field(
        None,
        description="Null: the one that `alias` names.",
    )
    alias: str | None = Field(
        None,
        max_length=64,
        description="Instead of `base_version`; null: `live`.",
    )
    uploads: list[UploadId] = Field(
        default_factory=list,
        max_length=1000,
        description="None: the held-out images.",
    )
    task: int | None = Field(None, ge=0, lt=10**9)
    classify: Classify = "auto"
    false_alarms: float | None = Field(
        None,
        gt=0,
        lt=1,
        allow_inf_nan=False,
        description="As of the version, where left out.",
    )

    @field_validator("alias")
    @classmethod
    def _names_one_version(cls, alias: str | None, info: ValidationInfo) -> str | None:
        if alias is not None and info.data.get("base_version") is not None:
            raise ValueError("base_version names a version already: leave one of them out")
        return alias


Request = LearnRequest | ForgetRequest | CorrectRequest | EvaluateRequest


class _AnyKind(BaseModel):
    kind: Literal["learn", "forget", "correct", "evaluate"]


_REQUESTS: dict[str, type[Request]] = {
    "learn": LearnRequest,
    "forget": ForgetRequest,
    "correct": CorrectRequest,
    "evaluate": EvaluateRequest,
}


def _by_kind(given: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """Validate by the model of the request's kind, so that errors point into the body as sent.

    The kind defaults to ``learn``.
    """
    if not isinstance(given, dict):
        return handler(given)
    kind = _AnyKind.model_validate({"kind": "learn", **given}).kind
    return _REQUESTS[kind].model_validate(given)


JobRequest = TypeAliasType("JobRequest", Annotated[Request, WrapValidator(_by_kind)])


def request_of(job: Job) -> Request:
    """Return what a job was asked, without its webhook.

    Fields that the release which stored it did not know have their defaults, and those of a newer
    release are left out. Raises ValidationError for a kind or a value that is not known here.
    """
    model = _REQUESTS[_AnyKind.model_validate({"kind": job.kind}).kind]
    known = model.model_fields.keys() & job.request.keys()
    return model.model_validate({"kind": job.kind} | {name: job.request[name] for name in known})


def annotations_of(job: Job) -> dict[str, Any]:
    """Return what a job's request notes about the version that it makes."""
    return {name: job.request[name] for name in Annotations.model_fields if job.request.get(name)}
