"""What webhooks are told when a job has ended, and how it went to tell them."""

from typing import Annotated

from fastapi import APIRouter, Header
from pydantic import BaseModel

from app.api.access import Router, needs
from app.api.deps import DB, Workspace
from app.api.problems import responses
from app.services.jobs import webhooks
from app.services.jobs.endings import Payload
from app.services.jobs.views import JobNotFoundError
from app.services.jobs.webhooks import DeliveryView

router = Router(prefix="/v1", tags=["jobs"], dependencies=[needs("train")])
# Requests that the service makes: documented, never served.
sent = APIRouter(tags=["jobs"])


class DeliveryList(BaseModel):
    """A job's deliveries, oldest first: one for each time it ended."""

    data: list[DeliveryView]


@router.get("/jobs/{job_id}/deliveries", responses=responses(JobNotFoundError))
def list_deliveries(job_id: str, db: DB, workspace: Workspace) -> DeliveryList:
    """Show what the job's webhook was told and how often that was tried."""
    return DeliveryList(data=webhooks.list_deliveries(db, workspace, job_id))


@sent.post(
    "job.ended",
    status_code=204,
    responses={
        410: {"description": "Ends the delivery."},
        "default": {"description": "Anything but 2xx is tried again later."},
    },
)
def job_ended(
    payload: Payload,
    webhook_id: Annotated[str, Header(description="The same at every try.")],
    webhook_timestamp: Annotated[int, Header(description="Of this try, in seconds since 1970.")],
    webhook_signature: Annotated[str, Header(description="As Standard Webhooks says: v1,….")],
) -> None:
    """Tell that a job has ended. Any 2xx is a receipt."""
