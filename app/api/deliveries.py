"""Deliveries to webhooks: what they receive when a job has ended, and whether it arrived."""

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
# Requests that the service sends: documented in OpenAPI, never served.
sent = APIRouter(tags=["jobs"], generate_unique_id_function=lambda route: route.name)


class DeliveryList(BaseModel):
    """A job's deliveries, oldest first: one for each time that it ended."""

    data: list[DeliveryView]


@router.get("/jobs/{job_id}/deliveries", responses=responses(JobNotFoundError))
def list_deliveries(job_id: str, db: DB, workspace: Workspace) -> DeliveryList:
    """List the deliveries to the job's webhook, with their attempts."""
    return DeliveryList(data=webhooks.list_deliveries(db, workspace, job_id))


@sent.post(
    "job.ended",
    status_code=204,
    responses={
        410: {"description": "The delivery is given up."},
        "default": {"description": "Any other status but 2xx: the delivery is retried later."},
    },
)
def job_ended(
    payload: Payload,
    webhook_id: Annotated[str, Header(description="The same in every attempt.")],
    webhook_timestamp: Annotated[int, Header(description="Seconds since 1970 at this attempt.")],
    webhook_signature: Annotated[str, Header(description="As in Standard Webhooks: v1,….")],
) -> None:
    """Notify a webhook that a job has ended. Any 2xx confirms the receipt."""
