"""Fields of every request that makes a job."""

from pydantic import Field

from app.services.jobs.webhooks import Webhook
from app.services.requests import RequestBody


class JobFields(RequestBody):
    """Fields of every request that makes a job."""

    max_minutes: float | None = Field(
        None, gt=0, description="An attempt that takes longer fails the job."
    )
    webhook: Webhook | None = None
