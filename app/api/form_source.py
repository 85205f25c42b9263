"""A multipart form as a source of labelled images."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

from pydantic import TypeAdapter, ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from app.api import file_names
from app.api.problems import InvalidRequestError, field_errors
from app.errors import FieldError, ServiceError
from app.services.labels import clean_label
from app.services.uploads.sources import Item, Rejection, UploadLimits

# More files belong in an archive, whose members cost far less than the parts of a form.
MAX_PARTS = 5000
_FIELD_BYTES = 4 * 10**6
_CHUNK_BYTES = 2**16

_Manifest = TypeAdapter(dict[str, str])


class MalformedFormError(ServiceError, status=400, code="malformed-form"):
    """The multipart body does not match its boundary."""


class TooManyPartsError(ServiceError, status=413, code="too-many-parts"):
    """The form has more parts than the server reads."""


FORM_ERRORS = (MalformedFormError, TooManyPartsError)


class FormSource:
    """Parts named `files`, with one `label` for all or a `manifest` from file name to label.

    The fields may follow the files, so the body is read twice.
    """

    def __init__(self, file: IO[bytes], boundary: bytes) -> None:
        self._file = file
        self._boundary = boundary

    def items(self, limits: UploadLimits) -> Iterator[Item | Rejection]:
        """Yield the files in their order."""
        label, manifest, names = self._fields()
        matched = file_names.match(manifest, names)
        sent = iter(names)
        for part in _parts(self._file, self._boundary, wanted=("files",), limit=limits.image.bytes):
            if part.name != "files":
                continue
            name = next(sent)
            key = matched.get(name)
            named = label if key is None else manifest[key]
            if named is None:
                yield Rejection(name, "not in the manifest")
            elif part.size > limits.image.bytes:
                yield Rejection(name, f"the file is larger than {limits.image.bytes} bytes", named)
            else:
                yield Item(name, named, bytes(part.data))
        found = set(matched.values())
        for key, label in manifest.items():
            if key not in found:
                yield Rejection(key, "in the manifest, but not sent", label)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _fields(self) -> tuple[str | None, dict[str, str], list[str]]:
        """Return the label, or None and the manifest; and the names of the files."""
        fields: dict[str, bytes] = {}
        names: list[str] = []
        wanted = ("label", "manifest")
        for part in _parts(self._file, self._boundary, wanted=wanted, limit=_FIELD_BYTES):
            if part.name == "files":
                names.append(part.filename or f"files[{len(names)}]")
                continue
            if part.name not in wanted:
                raise _invalid(part.name, "unknown field: send label or manifest, and files")
            if part.name in fields:
                raise _invalid(part.name, "given twice")
            if part.size > _FIELD_BYTES:
                raise _invalid(part.name, f"larger than {_FIELD_BYTES} bytes")
            fields[part.name] = bytes(part.data)
        if len(fields) != 1:
            raise _invalid("label", "give either label or manifest")
        if "manifest" in fields:
            return None, _manifest(fields["manifest"]), names
        return _label(fields["label"]), {}, names


def _label(value: bytes) -> str:
    try:
        return clean_label(value.decode())
    except UnicodeDecodeError as error:
        raise _invalid("label", "not UTF-8") from error
    except ValueError as error:
        raise _invalid("label", str(error)) from error


def _manifest(value: bytes) -> dict[str, str]:
    try:
        manifest = _Manifest.validate_json(value)
    except ValidationError as error:
        raise InvalidRequestError(
            "The manifest must be a JSON object from file name to class name.",
            errors=[
                FieldError("/manifest" + wrong.pointer, wrong.detail)
                for wrong in field_errors(error.errors())
            ],
        ) from error
    # Of a name that is there twice, `validate_json` takes the last label.
    for name, label in json.loads(value, object_pairs_hook=list):
        if manifest.get(name) != label:
            raise _invalid("manifest", f"gives {name[:100]!r} two labels")
    return manifest


def _invalid(name: str, detail: str) -> InvalidRequestError:
    return InvalidRequestError(
        "The form is not valid: see errors.", errors=[FieldError(f"/{name[:100]}", detail)]
    )


@dataclass
class _Part:
    """One part. `data` is cut off at the limit; `size` is the size of the whole part."""

    header: bytearray = field(default_factory=bytearray)
    name: str = ""
    filename: str = ""
    data: bytearray = field(default_factory=bytearray)
    size: int = 0


class _Collector:
    """Builds parts from the parser's events."""

    def __init__(self, boundary: bytes, wanted: tuple[str, ...], limit: int) -> None:
        self.ready: list[_Part] = []
        self.ended = False
        self._wanted = wanted
        self._limit = limit
        self._part = _Part()
        self._value = bytearray()
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

    def _begin(self) -> None:
        self._part = _Part()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._part.header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._part.header.lower() == b"content-disposition":
            parameters = file_names.disposition_parameters(bytes(self._value))
            self._part.name = parameters.get("name", "")
            self._part.filename = parameters.get("filename", "")
        self._part.header.clear()
        self._value.clear()

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._part.size += end - start
        if self._part.name in self._wanted and self._part.size <= self._limit:
            self._part.data += data[start:end]

    def _end(self) -> None:
        self.ready.append(self._part)

    def _finish(self) -> None:
        self.ended = True


def _parts(
    file: IO[bytes], boundary: bytes, *, wanted: tuple[str, ...], limit: int
) -> Iterator[_Part]:
    """Yield all parts of the form, with the data only of parts whose name is in `wanted`."""
    file.seek(0)
    count = 0
    try:
        collector = _Collector(boundary, wanted, limit)
        while chunk := file.read(_CHUNK_BYTES):
            collector.parser.write(chunk)
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
