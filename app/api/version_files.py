"""``/v1/classifiers/{name}/versions/{version}/checkpoint``: the download of a version file."""

from typing import Annotated

from fastapi import Header, Response
from fastapi.responses import StreamingResponse

from app import etags
from app.api.access import Router, needs
from app.api.deps import DB, Tensors, Workspace
from app.api.problems import responses
from app.api.ranges import UnsatisfiableRangeError, parse_range
from app.api.versions import Reference
from app.errors import ServiceError
from app.services.classifiers import version_file
from app.services.classifiers.classifiers import ClassifierNotFoundError
from app.services.classifiers.version_file import TensorsUnreadableError
from app.services.classifiers.versions import VersionNotFoundError
from app.services.stored import StorageUnavailableError

router = Router(tags=["versions"], dependencies=[needs("train")])

_TAR = "application/x-tar"


class RangeNotSatisfiableError(ServiceError, status=416, code="range-not-satisfiable"):
    """The file has no such bytes."""


@router.get(
    "/v1/classifiers/{name}/versions/{version}/checkpoint",
    response_class=StreamingResponse,
    responses={
        **responses(
            ClassifierNotFoundError,
            VersionNotFoundError,
            TensorsUnreadableError,
            StorageUnavailableError,
            RangeNotSatisfiableError,
        ),
        200: {"description": "The tar file.", "content": {_TAR: {}}},
        206: {"description": "What `Range` names.", "content": {_TAR: {}}},
        304: {"description": "Not changed."},
    },
)
def get_version_file(
    name: str,
    version: Reference,
    db: DB,
    tensors: Tensors,
    workspace: Workspace,
    range_: Annotated[str | None, Header(alias="Range")] = None,
    if_range: Annotated[str | None, Header()] = None,
    if_none_match: Annotated[str, Header()] = "",
) -> Response:
    """Download a version file: a tar of manifest.json and the tensors as safetensors."""
    file = version_file.find(db, tensors, workspace, name, version)
    headers = {
        "ETag": file.etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",  # an alias may name another version later
    }
    if etags.names(if_none_match, file.etag):
        return Response(status_code=304, headers=headers)
    part = None
    # If the file has changed, a range of it would not fit the bytes that the client has.
    if if_range in (None, file.etag):
        try:
            part = parse_range(range_, file.size)
        except UnsatisfiableRangeError as error:
            raise RangeNotSatisfiableError(
                f"The file has {file.size} bytes.",
                headers={"Content-Range": f"bytes */{file.size}"},
            ) from error
    start, end = part or (0, file.size)
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
    headers["Content-Length"] = str(end - start)
    headers["Content-Disposition"] = f'attachment; filename="{file.name}"'
    status = 200 if part is None else 206
    return StreamingResponse(file.read(start, end), status, headers, _TAR)
