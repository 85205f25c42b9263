"""The parts of a multipart form (RFC 7578), read one by one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from app.api import file_names
from app.api.body_kinds import HEAD_BYTES
from app.errors import ServiceError

# More files belong in an archive, whose members cost far less than the parts of a form.
MAX_PARTS = 5000
_CHUNK_BYTES = 2**16
# Names of the parts that are files: the first is ours, the others are those of many clients.
FILES = ("files", "file", "images", "image")


class MalformedFormError(ServiceError, status=400, code="malformed-form"):
    """The multipart body does not match its boundary."""


class TooManyPartsError(ServiceError, status=413, code="too-many-parts"):
    """The form has more parts than the server reads."""


FORM_ERRORS = (MalformedFormError, TooManyPartsError)


def boundary_of(options: Mapping[bytes, bytes]) -> bytes:
    """Return the boundary in the options of a content type. Raises MalformedFormError."""
    boundary = options.get(b"boundary")
    if not boundary:
        raise MalformedFormError(
            "The content type does not name the boundary. Set no Content-Type yourself: what "
            "builds the form does (FormData with fetch, files= of requests, curl -F)."
        )
    return boundary


@dataclass
class Part:
    """One part. `data` is cut off at the limit; `size` is the size of the whole part.

    `start` is where it begins in the body, and `head` are its first bytes.
    """

    header: bytearray = field(default_factory=bytearray)
    name: str = ""
    filename: str = ""
    data: bytearray = field(default_factory=bytearray)
    size: int = 0
    start: int = 0
    head: bytes = b""


class _Collector:
    """Builds parts from the parser's events."""

    def __init__(self, boundary: bytes, wanted: tuple[str, ...], limit: int) -> None:
        self.ready: list[Part] = []
        self.ended = False
        self._wanted = wanted
        self._limit = limit
        self._part = Part()
        self._value = bytearray()
        self._chunk, self._chunk_at = b"", 0
        self.parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_end": self._finish,
            },
        )

    def write(self, chunk: bytes) -> None:
        """Parse the next bytes of the form."""
        self._chunk_at += len(self._chunk)
        self._chunk = chunk
        self.parser.write(chunk)

    def _begin(self) -> None:
        self._part = Part()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._part.header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._part.header.lower() == b"content-disposition":
            parameters = file_names.disposition_parameters(bytes(self._value))
            # PHP, and what was made for it, marks a name of several values.
            self._part.name = parameters.get("name", "").removesuffix("[]")
            self._part.filename = parameters.get("filename", "")
        self._part.header.clear()
        self._value.clear()

    def _data(self, data: bytes, start: int, end: int) -> None:
        if data is self._chunk:  # and not bytes that only looked like a boundary
            self._part.start = self._chunk_at + start - self._part.size
        if len(self._part.head) < HEAD_BYTES:
            self._part.head += data[start:end][:HEAD_BYTES]
        self._part.size += end - start
        if self._part.name in self._wanted and self._part.size <= self._limit:
            self._part.data += data[start:end]

    def _end(self) -> None:
        self.ready.append(self._part)

    def _finish(self) -> None:
        self.ended = True


def parts(
    file: IO[bytes], boundary: bytes, *, wanted: tuple[str, ...], limit: int
) -> Iterator[Part]:
    """Yield all parts of the form, with the data only of parts whose name is in `wanted`."""
    file.seek(0)
    count = 0
    try:
        collector = _Collector(boundary, wanted, limit)
        while chunk := file.read(_CHUNK_BYTES):
            collector.write(chunk)
            count += len(collector.ready)
            if count > MAX_PARTS:
                raise TooManyPartsError(
                    f"A form has at most {MAX_PARTS} parts: send more images as an archive."
                )
            yield from collector.ready
            collector.ready.clear()
    except FormParserError as error:
        raise MalformedFormError("The body does not match its multipart boundary.") from error
    if not collector.ended:
        raise MalformedFormError("The body ends before its last boundary.")
