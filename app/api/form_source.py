"""A multipart form as a source of labelled images."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from io import BufferedReader
from tempfile import TemporaryFile
from typing import IO, Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, ValidationError

from app.api import file_names, json_text
from app.api.body_kinds import PackedKind, archive_kind
from app.api.form_parts import FILES, Part, parts
from app.api.part_of_file import PartOfFile
from app.api.problems import InvalidRequestError, field_errors
from app.api.raw_body import File
from app.errors import FieldError
from app.security.archive_names import NameEncoding
from app.services.labels import clean_group, clean_label
from app.services.requests import RequestBody
from app.services.uploads.archive_source import ArchiveSource
from app.services.uploads.parquet_source import ParquetSource
from app.services.uploads.sources import Found, Item, Rejection, Source, UploadLimits

_FIELD_BYTES = 4 * 10**6


class UploadForm(BaseModel):
    """A form of labelled images, as documented: `FormSource` reads it part by part."""

    files: list[File]
    label: str | None = Field(None, description="Of all files.")
    manifest: str | None = Field(
        None,
        description="Instead of label, as JSON: file names to classes, or to objects with label "
        "and group.",
    )
    group: str | None = None


class ManifestEntry(RequestBody):
    """What a manifest says of a file."""

    label: str
    group: str | None = None


def _entry(given: Any) -> Any:
    """Take a class name for an entry that says nothing else."""
    if isinstance(given, str):
        return {"label": given}
    if not isinstance(given, (dict, ManifestEntry)):
        raise ValueError("is not a class name, nor an object with label and group")
    return given


_Manifest = TypeAdapter(dict[str, Annotated[ManifestEntry, BeforeValidator(_entry)]])


class FormSource:
    """Parts that are files, with one `label` for all or a `manifest` from file name to label.

    A manifest may name a group beside the label, and `group` that of all others.
    The fields may follow the files, so the body is read twice. Without these, the files
    may be archives, each of which is read as if it was sent alone, with `names` and `grouped`.
    """

    def __init__(
        self,
        file: IO[bytes],
        boundary: bytes,
        names: NameEncoding | None = None,
        *,
        grouped: bool = False,
    ) -> None:
        self._file = file
        self._boundary = boundary
        self._names = names
        self._grouped = grouped

    def items(self, limits: UploadLimits) -> Iterator[Found]:
        """Yield the files in their order. Raises InvalidRequestError, and what archives raise."""
        fields, sent_files = self._fields()
        packed = [(part, kind) for part in sent_files if (kind := archive_kind(part.head))]
        if fields or not packed:
            yield from self._images(fields, [part.filename for part in sent_files], limits)
            return
        if len(packed) < len(sent_files):
            raise _invalid("files", "archives and images are together: send archives alone")
        for part, kind in packed:
            inside = BufferedReader(PartOfFile(self._file, part.start, part.size))
            with closing(self._source(inside, kind)) as source:
                yield from source.items(limits)

    def _source(self, inside: IO[bytes], kind: PackedKind) -> Source:
        if kind != "parquet":
            return ArchiveSource(inside, kind, self._names, grouped=self._grouped)
        copy = TemporaryFile()  # noqa: SIM115 - the source closes it
        shutil.copyfileobj(inside, copy)
        return ParquetSource(copy)

    def _images(
        self, fields: dict[str, bytes], names: list[str], limits: UploadLimits
    ) -> Iterator[Item | Rejection]:
        if self._grouped:
            raise groups_without_folders()
        for_all, manifest = _labels(fields)
        matched = file_names.match(manifest, names)
        sent = iter(names)
        for part in parts(self._file, self._boundary, wanted=FILES, limit=limits.image.bytes):
            if part.name not in FILES:
                continue
            name = next(sent)
            key = matched.get(name)
            entry = for_all if key is None else manifest[key]
            if entry is None:
                yield Rejection(name, "not in the manifest")
            elif part.size > limits.image.bytes:
                reason = f"the file is larger than {limits.image.bytes} bytes"
                yield Rejection(name, reason, entry.label)
            else:
                yield Item(name, entry.label, bytes(part.data), group=entry.group)
        found = set(matched.values())
        for key, entry in manifest.items():
            if key not in found:
                yield Rejection(key, "in the manifest, but not sent", entry.label)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _fields(self) -> tuple[dict[str, bytes], list[Part]]:
        """Return the fields, and the files without what is in them."""
        fields: dict[str, bytes] = {}
        files: list[Part] = []
        wanted = ("label", "manifest", "group")
        for part in parts(self._file, self._boundary, wanted=wanted, limit=_FIELD_BYTES):
            if part.name in FILES:
                part.filename = part.filename or f"files[{len(files)}]"
                files.append(part)
                continue
            if part.name not in wanted:
                raise _invalid(part.name, "unknown field: send label or manifest, group, and files")
            if part.name in fields:
                raise _invalid(part.name, "given twice")
            if part.size > _FIELD_BYTES:
                raise _invalid(part.name, f"larger than {_FIELD_BYTES} bytes")
            fields[part.name] = bytes(part.data)
        return fields, files


def _labels(fields: dict[str, bytes]) -> tuple[ManifestEntry | None, dict[str, ManifestEntry]]:
    """Return what holds for all files, or None and the manifest."""
    group = fields.pop("group", None)
    named = None if group is None else _name("group", group, clean_group)
    if len(fields) != 1:
        raise _invalid("label", "give either label or manifest")
    if "manifest" in fields:
        manifest = _manifest(fields["manifest"])
        return None, {key: _of_group(entry, named) for key, entry in manifest.items()}
    return ManifestEntry(label=_name("label", fields["label"], clean_label), group=named), {}


def groups_without_folders() -> InvalidRequestError:
    """Return the error for `?group=folder` where images are in no folders."""
    return InvalidRequestError(
        "The query is not valid: see errors.",
        errors=[
            FieldError(
                "/group",
                "folders name groups in archives only: name the group of each image, in the "
                "manifest or beside its label",
            )
        ],
    )


def _of_group(entry: ManifestEntry, group: str | None) -> ManifestEntry:
    return entry if entry.group is not None else entry.model_copy(update={"group": group})


def _name(field: str, value: bytes, clean: Callable[[str], str]) -> str:
    try:
        return clean(value.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise _invalid(field, "not UTF-8") from error
    except ValueError as error:
        raise _invalid(field, str(error)) from error


def _manifest(value: bytes) -> dict[str, ManifestEntry]:
    value = json_text.utf8(value)
    try:
        manifest = _Manifest.validate_json(value)
    except ValidationError as error:
        raise InvalidRequestError(
            "The manifest must be a JSON object from file name to class name, or to an object with "
            "label and group.",
            errors=[
                FieldError("/manifest" + wrong.pointer, wrong.detail)
                for wrong in field_errors(error.errors())
            ],
        ) from error
    # Of a name that is there twice, `validate_json` takes the last entry.
    for name, pairs in json.loads(value, object_pairs_hook=list):
        given = {"label": pairs} if isinstance(pairs, str) else dict(pairs)
        if manifest[name] != ManifestEntry(**given):
            raise _invalid("manifest", f"gives {name[:100]!r} two labels or groups")
    return manifest


def _invalid(name: str, detail: str) -> InvalidRequestError:
    return InvalidRequestError(
        "The form is not valid: see errors.", errors=[FieldError(f"/{name[:100]}", detail)]
    )
