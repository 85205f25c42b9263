"""``/v1/classifiers/{name}/versions/{version}/export``: versions for other programs."""

import asyncio
from typing import Annotated, Any

from fastapi import Header, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse

from app import etags
from app.api.access import Router, needs
from app.api.deps import DB, ExportedFiles, Workspace
from app.api.problems import responses
from app.api.versions import Reference
from app.db.engine import Database
from app.errors import ServiceError
from app.inference.errors import VersionUnreadableError
from app.inference.exporting.exports import CannotExportError, OnnxNotInstalledError
from app.inference.exporting.formats import SUFFIXES, Format
from app.inference.stored import StoredVersion
from app.services.classifiers import classifiers, versions
from app.services.classifiers.classifiers import ClassifierNotFoundError
from app.services.classifiers.versions import VersionNotFoundError

router = Router(tags=["versions"], dependencies=[needs("train")])

_TYPES: dict[Format, str] = {"onnx": "application/onnx", "torch": "application/zip"}
_CONTENT: dict[str, Any] = {media_type: {} for media_type in _TYPES.values()}
# How long a request waits for its file: less than proxies wait for an answer.
_BUILD_SECONDS = 30.0


class ExportBuildingError(ServiceError, status=503, code="export-building"):
    """The file is still being built."""


@router.get(
    "/v1/classifiers/{name}/versions/{version}/export",
    response_class=FileResponse,
    responses={
        **responses(
            ClassifierNotFoundError,
            VersionNotFoundError,
            VersionUnreadableError,
            CannotExportError,
            OnnxNotInstalledError,
            ExportBuildingError,
        ),
        200: {"description": "The model.", "content": _CONTENT},
        206: {"description": "What `Range` names.", "content": _CONTENT},
        304: {"description": "Not changed."},
    },
)
async def export_version(
    name: str,
    version: Reference,
    db: DB,
    exported: ExportedFiles,
    workspace: Workspace,
    format: Format = "onnx",
    if_none_match: Annotated[str, Header()] = "",
) -> Response:
    """Download a version as a model that other programs predict with."""
    stored = await run_in_threadpool(_stored, db, workspace, name, version)
    try:
        async with asyncio.timeout(_BUILD_SECONDS):
            # Others wait for the same file: it is built when this request is given up.
            built = await asyncio.shield(asyncio.wrap_future(exported.file(format, name, stored)))
    except TimeoutError:
        raise ExportBuildingError(
            "The file is being built, which goes on: ask again for it.",
            headers={"Retry-After": "5"},
        ) from None
    headers = {"ETag": built.etag, "Cache-Control": "private, no-cache"}
    if etags.names(if_none_match, built.etag):
        return Response(status_code=304, headers=headers)
    return FileResponse(
        built.path,
        headers=headers,
        media_type=_TYPES[format],
        filename=f"{name}-{stored.number}.{SUFFIXES[format]}",
    )


def _stored(db: Database, workspace: str, name: str, reference: str) -> StoredVersion:
    with db.reading() as session:
        classifier = classifiers.require(session, workspace, name)
        version_id = versions.require(session, classifier, reference).id
    return StoredVersion.read(db, version_id)
