"""The request for advice."""

from typing import Literal

from pydantic import Field, ValidationError

from app.db.tables import Job
from app.errors import ServiceError
from app.services.classifiers.spec import Hardware
from app.services.jobs.fields import JobFields
from app.services.requests import UploadId

KIND: Literal["advise"] = "advise"


class AdviceRequest(JobFields):
    """The body of ``POST /v1/advice``."""

    uploads: list[UploadId] = Field(min_length=1, max_length=1000)
    seconds: float = Field(
        120,
        ge=1,
        le=3600,
        description="After the default classifier.",
    )
    hardware: Hardware = "any"


class AdviceUnreadableError(ServiceError, status=409, code="job-unreadable"):
    """Another release wrote the job's request in a form that is not known here."""


def request_of(job: Job) -> AdviceRequest:
    """Return what a job was asked, without its webhook. Raises AdviceUnreadableError.

    Fields that the release which stored it did not know have their defaults, and those of a newer
    release are left out.
    """
    known = AdviceRequest.model_fields.keys() & job.request.keys()
    try:
        return AdviceRequest.model_validate({name: job.request[name] for name in known})
    except ValidationError as error:
        raise AdviceUnreadableError(
            "This worker cannot read what the job was asked: a newer release wrote it. Upgrade the "
            "workers, then make the job again."
        ) from error
