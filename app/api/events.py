"""Events of a job: page by page, or as a stream that ends with the job."""

from collections.abc import AsyncIterator
from typing import Annotated

import structlog
from fastapi import Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from starlette.types import Receive, Scope, Send

from app.api.access import Router, needs
from app.api.deps import DB, Caller, EventPolling
from app.api.negotiation import accepted, weight
from app.api.paging import DEFAULT_LIMIT, Limit
from app.api.problems import responses
from app.db.engine import Database
from app.errors import ServiceError
from app.services.access.keyring import KEY_SECONDS, Caller as CallerOfRequest
from app.services.jobs import events
from app.services.jobs.event_polling import EventPoller, TooManyStreamsError
from app.services.jobs.events import EventView, Tail
from app.services.jobs.views import JobNotFoundError

router = Router(prefix="/v1", tags=["jobs"], dependencies=[needs("train")])

_JSON, _STREAM = "application/json", "text/event-stream"
_HEARTBEAT_SECONDS = 15.0
_HEARTBEAT = b": still here\n\n"
# Proxies neither buffer nor cache the stream.
_STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_LARGEST = 2**53

log = structlog.get_logger(__name__)


class NotAcceptableError(ServiceError, status=406, code="not-acceptable"):
    """The answer is not offered in any media type that was asked for."""


class EventPage(BaseModel):
    """Events of a job, in order."""

    data: list[EventView]
    has_more: bool
    next: int | None


@router.get(
    "/jobs/{job_id}/events",
    response_model=EventPage,
    dependencies=[needs("train", or_ticket=True)],
    responses={
        **responses(JobNotFoundError, NotAcceptableError, TooManyStreamsError),
        200: {
            "description": "A page of events; or all later events, as server-sent events.",
            "content": {_STREAM: {"schema": {"type": "string"}}},
        },
        204: {"description": "For a stream: no event is left."},
    },
)
async def list_job_events(
    job_id: str,
    request: Request,
    db: DB,
    event_poller: EventPolling,
    caller: Caller,
    limit: Limit = DEFAULT_LIMIT,
    after: Annotated[int, Query(ge=0, lt=_LARGEST, description="Sequence number.")] = 0,
    last_event_id: Annotated[
        int | None,
        Header(ge=0, lt=_LARGEST, description="Goes before `after`."),
    ] = None,
) -> Response:
    """List the events of a job, in order.

    With `Accept: text/event-stream`, a stream that ends with the job.
    """
    workspace = caller.workspace
    if not wants_stream(request):
        content = await run_in_threadpool(_page, db, workspace, job_id, after, limit)
        return Response(content, headers={"Vary": "Accept"}, media_type=_JSON)
    seen = after if last_event_id is None else last_event_id
    tail = await run_in_threadpool(events.tail, db, workspace, job_id, after=seen)
    if tail.ended and not tail.events:
        # 204 keeps a browser from reconnecting for ever.
        return Response(status_code=204, headers={"Cache-Control": "no-store"})
    return EventStream(event_poller, _follow(db, event_poller, caller, job_id, seen, tail))


def _page(db: Database, workspace: str, job_id: str, after: int, limit: int) -> str:
    """Return a page of events as JSON."""
    found = events.page(db, workspace, job_id, after=after, limit=limit + 1)
    data, has_more = found[:limit], len(found) > limit
    page = EventPage(data=data, has_more=has_more, next=data[-1].seq if has_more else None)
    return page.model_dump_json()


def wants_stream(request: Request) -> bool:
    """Choose between JSON and the stream; JSON if both are equal.

    Raises NotAcceptableError where neither is accepted.
    """
    accept = accepted(request.headers)
    json, stream = weight(_JSON, accept), weight(_STREAM, accept)
    if not json and not stream:
        raise NotAcceptableError(f"This is offered as {_JSON} and {_STREAM}.")
    return stream > json


class EventStream(StreamingResponse):
    """A stream that counts as open until it has been sent. Raises TooManyStreamsError."""

    def __init__(self, event_poller: EventPoller, frames: AsyncIterator[bytes]) -> None:
        super().__init__(frames, headers={**_STREAM_HEADERS, "Vary": "Accept"}, media_type=_STREAM)
        event_poller.enter()
        self._event_poller = event_poller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream until it ends or the client disconnects."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._event_poller.leave()


async def _follow(
    db: Database,
    event_poller: EventPoller,
    caller: CallerOfRequest,
    job_id: str,
    seen: int,
    tail: Tail,
) -> AsyncIterator[bytes]:
    """Yield a job's events from `tail` on, and heartbeats while nothing happens.

    The stream ends with the caller's key: a client that comes back with it is refused.
    """
    pause = min(KEY_SECONDS, _HEARTBEAT_SECONDS)
    while not caller.ended:
        if tail.events:
            yield b"".join(_frame(event) for event in tail.events)
            seen = tail.events[-1].seq
        if tail.ended:
            return
        silent = 0.0
        while not await event_poller.events(job_id, after=seen, seconds=pause):
            if event_poller.closed or caller.ended:
                return
            silent += pause
            if silent >= _HEARTBEAT_SECONDS:
                silent = 0.0
                yield _HEARTBEAT
        try:
            tail = await run_in_threadpool(events.tail, db, caller.workspace, job_id, after=seen)
        except JobNotFoundError:  # deleted with its classifier
            return
        except SQLAlchemyError as error:
            # The client reconnects and gets the missing events.
            log.warning("event_stream_cut", job=job_id, error=error)
            return


def _frame(event: EventView) -> bytes:
    # JSON escapes line breaks, so one data line holds it.
    return f"id: {event.seq}\nevent: {event.type}\ndata: {event.model_dump_json()}\n\n".encode()
