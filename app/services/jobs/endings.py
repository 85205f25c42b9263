"""The end of a job: its last events, and the delivery to its webhook.

Both are written in the transaction that ends the job, so every end is announced exactly once.
"""

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel
from sqlalchemy.orm import Session

from app.db.repositories import deliveries as delivery_rows, events as event_rows, jobs as job_rows
from app.db.repositories.events import Event
from app.db.rows import insert
from app.db.tables import WebhookDelivery
from app.ids import new_id
from app.services.jobs import views
from app.services.jobs.views import JobView


class Payload(BaseModel):
    """The body sent to a webhook: the job as it was when it ended."""

    type: str
    timestamp: datetime
    data: JobView


def announce(session: Session, job_id: str, events: Sequence[Event], *, now: datetime) -> None:
    """Append the last events of a job that just got a final state, and add its delivery.

    Call it when everything that the job's view shows has been written.
    """
    event_rows.append(session, job_id, events, now=now)
    webhook = delivery_rows.webhook_of(session, job_id)
    job = job_rows.get(session, job_id) if webhook else None
    if webhook is None or job is None:
        return
    view = views.view(session, job.workspace, job_id)
    payload = Payload(type=f"job.{view.state}", timestamp=now, data=view)
    insert(
        session,
        WebhookDelivery(
            id=new_id("dlv"),
            job_id=job_id,
            type=payload.type,
            url=webhook.url,
            secret=webhook.secret,
            payload=payload.model_dump_json(),
            next_at=now,
            created_at=now,
        ),
    )
