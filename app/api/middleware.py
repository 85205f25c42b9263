"""Pure ASGI middleware: metrics, request ids, unexpected errors, and limits of bodies."""

import asyncio
import itertools
import re
import time
from collections.abc import Callable

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import BodyTooLargeError, problem_code, service_problem, unexpected_problem
from app.api.raw_headers import first
from app.ids import new_id
from app.monitoring.http import Answered, HttpMetrics

# A random part for each process and a counter: randomness for each request costs a system call.
_PROCESS = new_id("req")
_count = itertools.count(1)
# Bodies and answers that flow slower than this are cut off: no network in use is as slow.
MIN_BYTES_PER_SECOND = 500
# What a body without files may have, in bytes.
WITHOUT_FILES = 10**6

_SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")

log = structlog.get_logger(__name__)


class RequestMetrics:
    """Counts each answer when it begins, since streams and downloads may last for hours."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI asks."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = time.perf_counter()

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                # The router has stored the matching route, whose path is a template.
                route = getattr(scope.get("route"), "path", None)
                answered = Answered(route, scope["method"], message["status"], problem_code(scope))
                self.metrics.count(answered, time.perf_counter() - begun)
            await send(message)

        await self.app(scope, receive, send_counted)


class RequestContext:
    """Gives each request an id, the client's own if it is harmless, and answers with 500s."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI asks."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = first(scope, b"x-request-id") or ""
        identifier = given if _SAFE_ID.fullmatch(given) else f"{_PROCESS}{next(_count):x}"
        scope.setdefault("state", {})["request_id"] = identifier
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                own = (b"x-request-id", identifier.encode())
                message["headers"] = [*message["headers"], own]
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except ClientDisconnect:
            log.info("client_left", request_id=identifier, path=scope["path"])
        except Exception:
            log.exception("unexpected_error", request_id=identifier, path=scope["path"])
            if started:
                raise  # too late for a status: the server closes the connection
            await unexpected_problem(scope)(scope, receive, send_with_id)


class BodyLimit:
    """Refuses bodies over the limit of their path: by Content-Length, else while receiving them.

    `limit` returns the largest number of bytes for a path.
    """

    def __init__(self, app: ASGIApp, limit: Callable[[str], int]) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI asks."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.limit(scope["path"])
        declared = first(scope, b"content-length") or ""
        if declared.isdigit() and int(declared) > limit:
            await service_problem(scope, _too_large(limit))(scope, receive, send)
            return
        received = 0

        async def receive_limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                # FastAPI lets this class through wherever it reads a body.
                raise HTTPException(413, _too_large(limit).detail)
            return message

        await self.app(scope, receive_limited, send)


def _too_large(limit: int) -> BodyTooLargeError:
    said = f"The body is larger than the limit of {limit} bytes."
    if limit <= WITHOUT_FILES:
        said += " This address takes no files; check the path, which has no slash at its end."
    return BodyTooLargeError(said)


class BodyPace:
    """Answers 408 to a body that comes slower than `MIN_BYTES_PER_SECOND`, against slow requests.

    Only the time counts that the application waits for the body, `seconds` of it at a time. So an
    upload of gigabytes may take hours, and a slow disk is not the client's fault.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI asks."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        clock = asyncio.get_running_loop().time
        ended, waited, received = False, 0.0, 0

        async def receive_in_time() -> Message:
            nonlocal ended, waited, received
            if ended:  # what comes next is that the client leaves: event streams wait for it
                return await receive()
            begun = clock()
            try:
                async with asyncio.timeout(self.seconds - waited):
                    message = await receive()
            except TimeoutError:
                # FastAPI lets this class through wherever it reads a body.
                raise HTTPException(
                    408,
                    f"Less than {MIN_BYTES_PER_SECOND * self.seconds:.0f} bytes of the body came "
                    f"within {self.seconds:g} seconds.",
                    # The rest of the body is not read, so no other request can follow.
                    {"Connection": "close"},
                ) from None
            ended = not message.get("more_body", False)
            waited += clock() - begun
            received += len(message.get("body", b""))
            if received >= MIN_BYTES_PER_SECOND * self.seconds:
                waited, received = 0.0, 0
            return message

        await self.app(scope, receive_in_time, send)
