"""HTTP parsing with a limit on everything outside of bodies, against denial of service.

The parser buffers a header until it is complete and appends to it piece by piece, so an endless
header would take all memory and CPU time of the process. Any client can send one, since the key is
only checked afterwards.
"""

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.api.problems import MEDIA_TYPE, problem_response

# Limit for the request line and headers together, and for the trailers of a body.
MAX_HEAD_BYTES = 2**16

_STATUS = 431
# Built without a request: at this point there is no scope and no id.
_ANSWER = bytes(
    problem_response(
        {},
        status=_STATUS,
        code="head-too-large",
        title="Request header fields too large",
        detail=f"The request line and headers may have {MAX_HEAD_BYTES} bytes in total.",
    ).body
)
_REFUSAL = b"".join(
    [
        STATUS_LINE[_STATUS],
        f"content-type: {MEDIA_TYPE}\r\n".encode(),
        b"content-length: %d\r\n" % len(_ANSWER),
        b"connection: close\r\n\r\n",
        _ANSWER,
    ]
)


class BoundedProtocol(HttpToolsProtocol):
    """Closes a connection that sends more than `MAX_HEAD_BYTES` without completing anything."""

    # Bytes received since the parser last completed a head, a message or a chunk of a body.
    _pending = 0

    def data_received(self, data: bytes) -> None:
        """Parse the data, and close the connection if the limit is exceeded."""
        self._pending += len(data)
        super().data_received(data)
        if self._pending > MAX_HEAD_BYTES and not self.transport.is_closing():
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write(_REFUSAL)
            self.transport.close()

    def on_headers_complete(self) -> None:
        """Start a request."""
        self._pending = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Receive a chunk of a body."""
        self._pending = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Finish the body of a request."""
        self._pending = 0
        super().on_message_complete()
