"""Events of a job, for clients that page through them and for those that follow a stream."""

from datetime import datetime
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, WithJsonSchema
from typing_extensions import TypeAliasType

from app.db.engine import Database
from app.db.repositories import events as event_rows
from app.db.tables import FINAL_STATES
from app.services.jobs import views

# Events in one query of a stream.
_BATCH = 500


EVENT_TYPES = (
    "cancelled",
    "cancelling",
    "created",
    "epoch",
    "failed",
    "measured",
    "not_resumed",
    "phase",
    "published",
    "requeued",
    "resumed",
    "started",
    "succeeded",
    "warning",
)
EventType = TypeAliasType(
    "EventType", Annotated[str, WithJsonSchema({"type": "string", "enum": list(EVENT_TYPES)})]
)


class EventView(BaseModel, from_attributes=True):
    """Something that happened to a job."""

    seq: int
    at: datetime
    type: EventType
    level: str
    message: str
    data: dict[str, Any]


class Tail(NamedTuple):
    """The next events of a job; `ended` says that the job has ended and these are its last."""

    events: list[EventView]
    ended: bool


def page(db: Database, workspace: str, job_id: str, *, after: int, limit: int) -> list[EventView]:
    """Return up to `limit` events of a job after a sequence number. Raises JobNotFoundError."""
    with db.reading() as session:
        views.require(session, workspace, job_id)
        found = event_rows.page(session, job_id, after=after, limit=limit)
        return [EventView.model_validate(event) for event in found]


def tail(db: Database, workspace: str, job_id: str, *, after: int) -> Tail:
    """Return a batch of a job's events after a sequence number. Raises JobNotFoundError."""
    with db.reading() as session:
        # The state is read first. So if it is final, the last event is already there to be read.
        finished = views.require(session, workspace, job_id).job.state in FINAL_STATES
        found = event_rows.page(session, job_id, after=after, limit=_BATCH)
        events = [EventView.model_validate(event) for event in found]
        return Tail(events, finished and len(found) < _BATCH)
