"""Uploads: labelled images sent in."""

import contextlib
import hashlib
from collections.abc import Callable
from functools import partial
from tempfile import SpooledTemporaryFile
from typing import IO, Annotated, Any, cast

from fastapi import Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from python_multipart.multipart import parse_options_header

from app.api.access import Router, needs
from app.api.deps import DB, Caller, Config, Store, Workspace, measured_by
from app.api.form_source import FORM_ERRORS, FormSource, MalformedFormError
from app.api.idempotency import IDEMPOTENCY_ERRORS, Once, Pending, StreamedOnce
from app.api.json_source import MAX_IMAGES, JsonImage, JsonSource
from app.api.paging import DEFAULT_LIMIT, After, Limit, Page
from app.api.problems import BodyTooLargeError, responses
from app.errors import ServiceError
from app.security.archives import ARCHIVE_ERRORS, ArchiveKind
from app.services.access.limits import StorageQuotaError, require_room
from app.services.stored import StorageFullError
from app.services.uploads import collecting, uploads
from app.services.uploads.archive_source import ArchiveSource
from app.services.uploads.sources import MEGABYTE, Source, Split, UploadLimits
from app.services.uploads.uploads import UploadInUseError, UploadNotFoundError, UploadView
from app.settings import Settings

router = Router(prefix="/v1/uploads", tags=["uploads"], dependencies=[needs("train")])

_ARCHIVES: dict[str, ArchiveKind] = {
    "application/zip": "zip",
    "application/x-zip-compressed": "zip",
    "application/x-tar": "tar",
    "application/gzip": "tar.gz",
    "application/x-gzip": "tar.gz",
}
# A JSON document is read into memory as a whole.
_JSON_MEGABYTES = 32
# Bodies up to this size stay in memory; it is also how much goes to disk at once.
_SPOOL_BYTES = 2**20


class UnsupportedUploadError(ServiceError, status=415, code="unsupported-media-type"):
    """Labelled images are not read from that content type."""


# What reading a body of labelled images may raise: for `responses` of the routes that take one.
SOURCE_ERRORS: tuple[type[ServiceError], ...] = (
    UnsupportedUploadError,
    BodyTooLargeError,
    *FORM_ERRORS,
    *ARCHIVE_ERRORS,
    *collecting.COLLECT_ERRORS,
)

# The body for OpenAPI: it is streamed, so the framework does not see it.
SOURCE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {
                        "label": {"type": "string", "description": "The class of all files."},
                        "manifest": {
                            "type": "string",
                            "description": "Instead of label: JSON from file name to class.",
                        },
                        "files": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                        },
                    },
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["images"],
                    "additionalProperties": False,
                    "properties": {
                        "images": {
                            "type": "array",
                            "maxItems": MAX_IMAGES,
                            "items": JsonImage.model_json_schema(),
                        }
                    },
                }
            },
            **{
                media_type: {"schema": {"type": "string", "format": "binary"}}
                for media_type in ("application/zip", "application/x-tar", "application/gzip")
            },
        },
    }
}

SplitOption = Annotated[
    Split, Query(description="What the images are for; an archive's train/ and test/ win.")
]
StrictOption = Annotated[bool, Query(description="Take all of it or nothing.")]


async def read_source(
    request: Request, settings: Settings, pending: Pending
) -> tuple[Source, Once]:
    """Receive a body of labelled images without holding it in memory, and take the request's key.

    The source is closed by `collecting.collect`. Raises UnsupportedUploadError,
    MalformedFormError, BodyTooLargeError, StorageFullError and what taking the key raises; the rest
    of `SOURCE_ERRORS` shows when it is read.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    media_type = kind.decode("latin-1").lower()
    megabytes = settings.max_body_megabytes
    boundary = None
    open_source: Callable[[IO[bytes]], Source]
    if media_type == "application/json":
        megabytes = min(megabytes, _JSON_MEGABYTES)
        open_source = JsonSource
    elif media_type == "multipart/form-data":
        boundary = options.get(b"boundary")
        if not boundary:
            raise MalformedFormError("The content type does not name the boundary.")
        open_source = partial(FormSource, boundary=boundary)
    elif media_type in _ARCHIVES:
        open_source = partial(ArchiveSource, kind=_ARCHIVES[media_type])
    else:
        raise UnsupportedUploadError(
            "Send multipart/form-data, application/json, or an archive as application/zip, "
            "application/x-tar or application/gzip."
        )
    file = await _receive(request, megabytes)
    try:
        digest = b""
        if pending.keyed:
            digest = await run_in_threadpool(content_digest, file, boundary)
        once = await pending.take(media_type.encode() + digest)
    except BaseException:
        file.close()
        raise
    return measured_by(request).uploads.counted(open_source(file)), once


def content_digest(file: IO[bytes], boundary: bytes | None = None) -> bytes:
    """Return a hash of a body; a form's is the same whatever boundary its sender has drawn.

    It is the hash of the hashes of what is between the boundaries.
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
        # The end may be the beginning of a boundary.
        kept = len(delimiter) - 1
        part.update(rest[:-kept])
        rest = rest[-kept:]
    part.update(rest)
    whole.update(part.digest())
    return whole.digest()


async def _receive(request: Request, megabytes: int) -> IO[bytes]:
    """Spool the body to a temporary file, off the event loop where that means the disk."""
    file = cast(IO[bytes], SpooledTemporaryFile(_SPOOL_BYTES))  # noqa: SIM115 - the source closes it
    received = 0
    waiting = bytearray()
    try:
        async for chunk in request.stream():
            received += len(chunk)
            if received > megabytes * MEGABYTE:
                raise BodyTooLargeError(f"This body may have at most {megabytes} megabytes.")
            waiting += chunk
            if len(waiting) >= _SPOOL_BYTES:
                await run_in_threadpool(file.write, bytes(waiting))
                waiting.clear()
        file.write(waiting)
        file.flush()  # a full disk shows here, and not when the source is read
    except OSError as error:
        _abandon(file)
        raise StorageFullError("The body could not be stored.") from error
    except BaseException:  # also when the client goes away
        _abandon(file)
        raise
    finally:
        measured_by(request).uploads.received(received)
    return file


def _abandon(file: IO[bytes]) -> None:
    # Closing writes what is still buffered, which fails on a full disk once more.
    with contextlib.suppress(OSError):
        file.close()


@router.post(
    "",
    status_code=201,
    openapi_extra=SOURCE_BODY,
    responses=responses(*SOURCE_ERRORS, StorageQuotaError, *IDEMPOTENCY_ERRORS),
)
async def create_upload(
    request: Request,
    db: DB,
    store: Store,
    settings: Config,
    caller: Caller,
    pending: StreamedOnce,
    split: SplitOption = "train",
    strict: StrictOption = False,
) -> UploadView:
    """Send labelled images."""
    if not pending.keyed:  # under a key, the first answer goes before what is so now
        await run_in_threadpool(require_room, db, caller.workspace, caller.quota)
    source, once = await read_source(request, settings, pending)
    return await run_in_threadpool(
        uploads.create,
        db,
        store,
        caller.workspace,
        source,
        limits=UploadLimits.of(settings),
        strict=strict,
        split=split,
        quota=caller.quota,
        on_created=lambda session, view: once.remember(session, 201, view),
    )


@router.post(
    "/{upload_id}/images",
    openapi_extra=SOURCE_BODY,
    responses=responses(
        UploadNotFoundError,
        UploadInUseError,
        *SOURCE_ERRORS,
        StorageQuotaError,
        *IDEMPOTENCY_ERRORS,
    ),
)
async def add_images(
    upload_id: str,
    request: Request,
    db: DB,
    store: Store,
    settings: Config,
    caller: Caller,
    pending: StreamedOnce,
    split: SplitOption = "train",
    strict: StrictOption = False,
) -> UploadView:
    """Add images to an upload that no job has used. The answer is the whole upload."""
    if not pending.keyed:  # under a key, the first answer goes before what is so now
        await run_in_threadpool(require_room, db, caller.workspace, caller.quota)
    source, once = await read_source(request, settings, pending)
    return await run_in_threadpool(
        uploads.add_images,
        db,
        store,
        caller.workspace,
        upload_id,
        source,
        limits=UploadLimits.of(settings),
        strict=strict,
        split=split,
        quota=caller.quota,
        on_created=lambda session, view: once.remember(session, 200, view),
    )


@router.get("", responses=responses())
def list_uploads(
    db: DB, workspace: Workspace, limit: Limit = DEFAULT_LIMIT, after: After = None
) -> Page[UploadView]:
    """List uploads, newest first."""
    found = uploads.page(db, workspace, limit=limit + 1, after=after)
    return Page[UploadView].of(found, limit, lambda upload: upload.id)


@router.get("/{upload_id}", responses=responses(UploadNotFoundError))
def get_upload(upload_id: str, db: DB, workspace: Workspace) -> UploadView:
    """Show an upload."""
    return uploads.get(db, workspace, upload_id)


@router.delete(
    "/{upload_id}",
    status_code=204,
    responses=responses(UploadNotFoundError, UploadInUseError),
)
def delete_upload(upload_id: str, db: DB, workspace: Workspace) -> Response:
    """Delete an upload. Images that versions need stay."""
    uploads.delete(db, workspace, upload_id)
    return Response(status_code=204)
