"""How it went to tell a webhook that a job has ended."""

from pydantic import BaseModel

from app.api.access import Router, needs
from app.api.deps import DB, Workspace
from app.api.problems import responses
from app.services import webhooks
from app.services.job_views import JobNotFoundError
from app.services.webhooks import DeliveryView

router = Router(prefix="/v1", tags=["jobs"], dependencies=[needs("train")])


class DeliveryList(BaseModel):
    """A job's deliveries, oldest first: one for each time it ended."""

    data: list[DeliveryView]


@router.get("/jobs/{job_id}/deliveries", responses=responses(JobNotFoundError))
def list_deliveries(job_id: str, db: DB, workspace: Workspace) -> DeliveryList:
    """Show what the job's webhook was told and how often that was tried."""
    return DeliveryList(data=webhooks.list_deliveries(db, workspace, job_id))
