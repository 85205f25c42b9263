"""HTTP parsing with limits on everything outside of bodies, against denial of service.

The parser buffers a header until it is complete and appends to it piece by piece, so an endless
header would take all memory and CPU time of the process. Connections on which nothing comes, or a
header byte by byte (slowloris), would take all file descriptors. Any client can do so, since the
key is only checked afterwards. Slow bodies are the concern of `app.api.middleware.BodyPace`.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.api.middleware import MIN_BYTES_PER_SECOND
from app.api.problems import (
    MEDIA_TYPE,
    BadRequestError,
    HeadTooLargeError,
    RequestTimeoutError,
    TooManyConnectionsError,
    service_problem,
)
from app.errors import ServiceError
from app.settings import Settings

# Limit for the request line and headers together, and for the trailers of a body.
MAX_HEAD_BYTES = 2**16


def _refusal(error: ServiceError) -> bytes:
    # Built without a request: at this point there is no scope and no id.
    answer = bytes(service_problem({}, error).body)
    return b"".join(
        [
            STATUS_LINE[error.status],
            f"content-type: {MEDIA_TYPE}\r\n".encode(),
            b"content-length: %d\r\n" % len(answer),
            b"connection: close\r\n\r\n",
            answer,
        ]
    )


_TOO_LARGE = _refusal(
    HeadTooLargeError(f"The request line and headers may have {MAX_HEAD_BYTES} bytes in total.")
)
_MALFORMED = _refusal(
    BadRequestError(
        "What was sent is not a request of HTTP/1.1. The service speaks HTTP without TLS: does the "
        "URL begin with http://?"
    )
)
_TOO_SLOW = _refusal(
    RequestTimeoutError("The request line and headers took too long (ACCRUE_HEAD_SECONDS).")
)
_TOO_MANY = _refusal(
    TooManyConnectionsError(
        "This process has as many open connections as ACCRUE_CONNECTIONS allows. Try again later."
    )
)


class BoundedProtocol(HttpToolsProtocol):
    """Closes connections that send a head too large or too slowly, or nothing for too long."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """Take what uvicorn gives, and the limits from the application's settings."""
        super().__init__(*arguments, **named)
        self._settings: Settings = self.config.app.state.settings  # type: ignore[union-attr]
        # Bytes received since the parser last completed a head, a message or a chunk of a body.
        self._pending = 0
        # Whether a head has begun and is not complete.
        self._in_head = False
        # Runs out while no request is under way, or a head comes.
        self._patience: asyncio.TimerHandle | None = None
        # Since when no request is under way; None while one is.
        self._waits_since: float | None = None
        # Runs while the client does not read its answer.
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, and close another one where there are too many."""
        super().connection_made(transport)
        self._await_request(self._settings.head_seconds)
        if len(self.connections) > self._settings.connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._be_patient()
        self._stop_watching_answer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the data, and close the connection if the limit is exceeded."""
        self._pending += len(data)
        super().data_received(data)
        if self._pending > MAX_HEAD_BYTES and not self.transport.is_closing():
            if not self._answering:
                self.transport.write(_TOO_LARGE)
            self._close()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be parsed, with the message in a log; no answer is cut in two."""
        if not self._answering or not self.cycle.response_started:
            self.transport.write(_MALFORMED)
        self._close()

    def on_message_begin(self) -> None:
        """Start to receive a head, and to measure its time."""
        self._in_head = True
        self._be_patient(self._settings.head_seconds, self._end_slow_head)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Start a request."""
        self._pending = 0
        self._in_head = False
        self._waits_since = None
        self._be_patient()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Receive a chunk of a body."""
        self._pending = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Finish the body of a request."""
        self._pending = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request, and for the rest of a body that was refused."""
        super().on_response_complete()
        # uvicorn's own timer ends with the first byte, whatever that is.
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            self._close()
            return
        if self._answering:
            return
        if self._in_head:
            self._waits_since = self.loop.time()
        else:
            self._await_request(self._settings.idle_seconds)

    def pause_writing(self) -> None:
        """Give the client some time to read what is buffered of its answer."""
        super().pause_writing()
        self._watch_answer()

    def resume_writing(self) -> None:
        """Go on with the answer."""
        if not self.transport.is_closing():
            self._stop_watching_answer()
        super().resume_writing()

    @property
    def _answering(self) -> bool:
        """Whether a request is under way."""
        return self.cycle is not None and not self.cycle.response_complete

    def _await_request(self, seconds: float) -> None:
        self._waits_since = self.loop.time()
        self._be_patient(seconds, self._close)

    def _close(self) -> None:
        """Close the connection once its client has read what is buffered, or reads too slowly."""
        self.transport.close()
        if self.transport.get_write_buffer_size() and self._unread is None:
            self._watch_answer()

    def _be_patient(self, seconds: float = 0.0, then: Callable[[], None] | None = None) -> None:
        """Replace the timer by another one, or by none."""
        if self._patience is not None:
            self._patience.cancel()
        self._patience = None if then is None else self.loop.call_later(seconds, then)

    def _end_slow_head(self) -> None:
        if self._answering:
            # The head of a request that was sent before the answer to another, which is not cut.
            self._be_patient(self._settings.head_seconds, self._end_slow_head)
        elif not self.transport.is_closing():
            self.transport.write(_TOO_SLOW)
            self._close()

    def _make_room(self) -> None:
        """Close the connection that has waited longest for a request; with none, this one."""
        waiting = [
            each
            for each in self.connections
            if isinstance(each, BoundedProtocol)
            and each is not self
            and each._waits_since is not None
        ]
        if waiting:
            oldest = min(waiting, key=lambda each: each._waits_since or 0.0)
            oldest._waits_since = None  # it is still listed when the next one needs room
            oldest._close()
        else:
            self.transport.write(_TOO_MANY)
            self._close()

    def _watch_answer(self) -> None:
        """Cut off a client that reads less than the slowest that is allowed, in one period."""
        seconds = self._settings.body_seconds
        before = self.transport.get_write_buffer_size()

        def look() -> None:
            read = before - self.transport.get_write_buffer_size()
            if read < MIN_BYTES_PER_SECOND * seconds:
                self.transport.abort()
            else:
                self._watch_answer()

        self._unread = self.loop.call_later(seconds, look)

    def _stop_watching_answer(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
