"""The server's reading of HTTP, with a bound on what is no body.

The parser holds a header until it ends and joins it piece by piece, so one without an end would
take all memory and all time of the process. Whoever can connect may send that: no key has been seen
by then.
"""

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.api.problems import MEDIA_TYPE, problem_response

# What a request's line and headers, or the trailers of its body, may have.
MAX_HEAD_BYTES = 2**16

_STATUS = 431
# Of a request that has no scope yet, and no id.
_ANSWER = bytes(
    problem_response(
        {},
        status=_STATUS,
        code="head-too-large",
        title="Request header fields too large",
        detail=f"Line and headers of a request may have {MAX_HEAD_BYTES} bytes.",
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
    """Closes a connection that sends more than `MAX_HEAD_BYTES` of which nothing comes."""

    # Bytes since the parser last came to the end of a head, a message, or to a part of a body.
    _pending = 0

    def data_received(self, data: bytes) -> None:
        """Pass on what has come, and end the connection where it is too much."""
        self._pending += len(data)
        super().data_received(data)
        if self._pending > MAX_HEAD_BYTES and not self.transport.is_closing():
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write(_REFUSAL)
            self.transport.close()

    def on_headers_complete(self) -> None:
        """Begin a request."""
        self._pending = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._pending = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request's body."""
        self._pending = 0
        super().on_message_complete()
