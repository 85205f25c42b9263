"""Bodies of labelled images, multipart, JSON or archives: received through a temporary file."""

import contextlib
import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import IO, NamedTuple, cast

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from python_multipart.multipart import parse_options_header

from app.api.body_kinds import HEAD_BYTES, UnsupportedBodyError, kind_of
from app.api.form_parts import FORM_ERRORS, boundary_of
from app.api.form_source import FormSource, UploadForm, groups_without_folders
from app.api.idempotency import Pending
from app.api.json_source import JsonSource, JsonUpload
from app.api.problems import BodyTooLargeError
from app.api.raw_body import raw_body
from app.errors import ServiceError
from app.monitoring.uploads import UploadMetrics
from app.security import parquet
from app.security.archive_names import NameEncoding
from app.security.archives import ARCHIVE_ERRORS
from app.services.access.idempotency import Once
from app.services.stored import StorageFullError
from app.services.uploads import collecting
from app.services.uploads.archive_source import ArchiveSource
from app.services.uploads.contradictory import ContradictoryLabelsError
from app.services.uploads.parquet_source import ParquetSource
from app.services.uploads.sources import MEGABYTE, GroupBy, Source
from app.settings import Settings

# A JSON document is read into memory as a whole.
_JSON_MEGABYTES = 32
# Bodies up to this size stay in memory; larger ones are written to disk in chunks of it.
_SPOOL_BYTES = 2**20


# The errors of reading a body of labelled images, for `responses` of the routes that take one.
SOURCE_ERRORS: tuple[type[ServiceError], ...] = (
    UnsupportedBodyError,
    BodyTooLargeError,
    *FORM_ERRORS,
    *ARCHIVE_ERRORS,
    *collecting.COLLECT_ERRORS,
    ContradictoryLabelsError,
)

SOURCE_BODY = raw_body(
    form=UploadForm,
    document=JsonUpload,
    raw="A zip, a tar, a tar.gz or Parquet.",
)


async def read_source(
    request: Request,
    settings: Settings,
    metrics: UploadMetrics,
    pending: Pending,
    names: NameEncoding | None,
    group_by: GroupBy | None,
) -> tuple[Source, Once]:
    """Spool the body to a file, take the request's idempotency key, and return the source.

    `names` is the encoding of names in an archive, `group_by` what names groups there.
    `uploads.collect` closes the source. Raises
    UnsupportedBodyError, MalformedFormError, BodyTooLargeError, StorageFullError and the errors
    of `Pending.take`; the other errors of `SOURCE_ERRORS` are raised when the source is read.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    media_type = kind.decode("latin-1").lower()
    choose = partial(
        _choose, media_type, options, settings=settings, names=names, group_by=group_by
    )
    file, form = await _receive(request, choose, metrics)
    try:
        digest = b""
        if pending.keyed:
            digest = await run_in_threadpool(content_digest, file, form.boundary)
        once = await pending.take(media_type.encode() + digest)
    except BaseException:
        file.close()
        raise
    return metrics.counting(form.open(file)), once


class _BodyForm(NamedTuple):
    """How a body is read, how large it may be, and what separates the parts of a form."""

    open: Callable[[IO[bytes]], Source]
    megabytes: int
    boundary: bytes | None = None


def _choose(
    media_type: str,
    options: Mapping[bytes, bytes],
    head: bytes,
    *,
    settings: Settings,
    names: NameEncoding | None,
    group_by: GroupBy | None,
) -> _BodyForm:
    """Raises UnsupportedBodyError, MalformedFormError and InvalidRequestError."""
    megabytes = settings.max_body_megabytes
    grouped = group_by == "folder"
    match kind_of(media_type, head):
        case "json" if grouped:
            raise groups_without_folders()
        case "form":
            boundary = boundary_of(options)
            read = partial(FormSource, boundary=boundary, names=names, grouped=grouped)
            return _BodyForm(read, megabytes, boundary)
        case "json":
            return _BodyForm(JsonSource, min(megabytes, _JSON_MEGABYTES))
        case "zip" | "tar" | "tar.gz" as kind:
            return _BodyForm(
                partial(ArchiveSource, kind=kind, names=names, grouped=grouped), megabytes
            )
        case "parquet" if not parquet.is_installed():
            raise UnsupportedBodyError(
                "This service does not read Parquet: whoever runs it installs the extra parquet "
                "(accrue[parquet]). Or send a zip of the images in class folders."
            )
        case "parquet":
            return _BodyForm(ParquetSource, megabytes)
        case "image":
            raise UnsupportedBodyError(
                "An image alone has no class. Send it in a form: label=CLASS, and files=@FILE."
            )
        case None if not head:
            raise UnsupportedBodyError("The body is empty. Send a form, JSON, a zip or a tar.")
        case None:
            raise UnsupportedBodyError(
                "Send multipart/form-data, application/json, a zip, a tar, a tar.gz or Parquet."
            )


def content_digest(file: IO[bytes], boundary: bytes | None = None) -> bytes:
    """Return a hash of a body: the hash of the hashes of what is between the boundaries.

    So forms with the same parts have the same hash although each client draws its own boundary.
    """
    delimiter = b"--" + boundary if boundary else None
    whole, part, rest = hashlib.sha256(), hashlib.sha256(), b""
    file.seek(0)
    while chunk := file.read(_SPOOL_BYTES):
        if delimiter is None:
            part.update(chunk)
            continue
        *ended, rest = (rest + chunk).split(delimiter)
        for data in ended:
            part.update(data)
            whole.update(part.digest())
            part = hashlib.sha256()
        # The end of the chunk may be the beginning of a boundary.
        held_back = len(delimiter) - 1
        part.update(rest[:-held_back])
        rest = rest[-held_back:]
    part.update(rest)
    whole.update(part.digest())
    return whole.digest()


async def _receive(
    request: Request, choose: Callable[[bytes], _BodyForm], metrics: UploadMetrics
) -> tuple[IO[bytes], _BodyForm]:
    """Spool the body to a temporary file; writes to the disk happen in a thread.

    `choose` is asked once, with the first bytes.
    """
    file = cast(IO[bytes], SpooledTemporaryFile(_SPOOL_BYTES))  # noqa: SIM115 - the source closes it
    received = 0
    buffer = bytearray()
    form: _BodyForm | None = None
    try:
        async for chunk in request.stream():
            received += len(chunk)
            buffer += chunk
            if form is None and received >= HEAD_BYTES:
                form = choose(bytes(buffer[:HEAD_BYTES]))
            if form is not None and received > form.megabytes * MEGABYTE:
                raise BodyTooLargeError(f"This body may have at most {form.megabytes} megabytes.")
            if form is not None and len(buffer) >= _SPOOL_BYTES:
                await run_in_threadpool(file.write, bytes(buffer))
                buffer.clear()
        if form is None:
            form = choose(bytes(buffer))
        file.write(buffer)
        file.flush()  # a full disk shows here, and not when the source is read
    except OSError as error:
        _discard(file)
        raise StorageFullError("The body could not be stored.") from error
    except BaseException:  # also when the client disconnects
        _discard(file)
        raise
    finally:
        metrics.received(received)
    return file, form


def _discard(file: IO[bytes]) -> None:
    # Closing writes what is still buffered, which fails again on a full disk.
    with contextlib.suppress(OSError):
        file.close()
