"""``/v1/jobs/{job_id}/tickets``: for browsers, whose EventSource sends no key."""

from datetime import UTC, datetime
from urllib.parse import quote

from fastapi import Response
from pydantic import BaseModel, Field

from app.api.access import Router, needs
from app.api.deps import DB, Caller
from app.api.problems import responses
from app.services.access import tickets
from app.services.jobs import jobs
from app.services.jobs.views import JobNotFoundError

router = Router(prefix="/v1", tags=["jobs"], dependencies=[needs("train")])

# In the place of a key's id where keys are off: nothing checks such a ticket.
_NO_KEY = "0" * 24


class TicketView(BaseModel):
    """What lets a browser follow a job."""

    ticket: str = Field(description="For `?ticket=`. As secret as a key.")
    expires_at: datetime
    url: str


@router.post("/jobs/{job_id}/tickets", responses=responses(JobNotFoundError))
def create_ticket(job_id: str, response: Response, db: DB, caller: Caller) -> TicketView:
    """Return a ticket that lets a browser follow the job's events for some minutes."""
    jobs.require(db, caller.workspace, job_id)
    ticket, expires_at = tickets.issue(
        caller.key_id or _NO_KEY, caller.digest, job_id, datetime.now(UTC)
    )
    response.headers["Cache-Control"] = "no-store"
    url = f"/v1/jobs/{quote(job_id)}/events?ticket={ticket}"
    return TicketView(ticket=ticket, expires_at=expires_at, url=url)
