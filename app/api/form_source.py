"""A multipart form as a source of labelled images."""

import json
from collections.abc import Iterator
from typing import IO

from pydantic import TypeAdapter, ValidationError

from app.api import file_names, json_text
from app.api.form_parts import parts
from app.api.problems import InvalidRequestError, field_errors
from app.errors import FieldError
from app.services.labels import clean_label
from app.services.uploads.sources import Item, Rejection, UploadLimits

_FIELD_BYTES = 4 * 10**6

_Manifest = TypeAdapter(dict[str, str])


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
        for part in parts(self._file, self._boundary, wanted=("files",), limit=limits.image.bytes):
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
        for part in parts(self._file, self._boundary, wanted=wanted, limit=_FIELD_BYTES):
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
        return clean_label(value.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise _invalid("label", "not UTF-8") from error
    except ValueError as error:
        raise _invalid("label", str(error)) from error


def _manifest(value: bytes) -> dict[str, str]:
    value = json_text.utf8(value)
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
