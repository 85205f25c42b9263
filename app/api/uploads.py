"""``/v1/uploads``: labelled images to learn from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import AfterValidator, Field

from app.api.access import Router, needs
from app.api.answer_headers import with_headers
from app.api.deps import DB, Caller, Config, Metrics, Store, Workspace
from app.api.idempotency import StreamedOnce
from app.api.paging import DEFAULT_LIMIT, After, Limit, Page
from app.api.problems import InvalidRequestError, responses
from app.api.upload_body import SOURCE_BODY, SOURCE_ERRORS, read_source
from app.security.archive_names import ENCODINGS, NameEncoding, name_encoding
from app.services.access.idempotency import IDEMPOTENCY_ERRORS
from app.services.access.limits import StorageQuotaError, require_room
from app.services.classifiers.versions import ImageNotFoundError
from app.services.labels import clean_label
from app.services.requests import Sha256
from app.services.uploads import images, uploads
from app.services.uploads.images import UploadImageView
from app.services.uploads.sources import GroupBy, Split, UploadLimits
from app.services.uploads.uploads import UploadInUseError, UploadNotFoundError, UploadView

# Hashes in a query: the head of a request has at most 16 kB behind many proxies.
_DELETED_AT_ONCE = 100

router = Router(prefix="/v1/uploads", tags=["uploads"], dependencies=[needs("train")])

SplitOption = Annotated[
    Split,
    Query(description="An archive's train/ and test/ win."),
]
NamesOption = Annotated[
    Annotated[NameEncoding, AfterValidator(name_encoding), Field(examples=[*ENCODINGS])] | None,
    Query(description="Encoding of names in an archive that does not declare it, such as cp932."),
]
GroupOption = Annotated[
    GroupBy | None,
    Query(
        alias="group",
        description="`upload`: the whole upload is one group. `folder`: folders inside those of "
        "the classes are groups.",
    ),
]
StrictOption = Annotated[bool, Query(description="Take all images or none.")]


LabelOption = Annotated[str, AfterValidator(clean_label)] | None
Position = Annotated[int | None, Query(ge=0, lt=10**9, description="`next` of the previous page.")]


@dataclass
class UploadRequest:
    """A request with labelled images, and the parts of the process that receive them."""

    request: Request
    response: Response
    db: DB
    store: Store
    settings: Config
    metrics: Metrics
    caller: Caller
    pending: StreamedOnce
    split: SplitOption = "train"
    names: NamesOption = None
    group_by: GroupOption = None
    strict: StrictOption = False

    async def receive(self, put: Callable[..., UploadView], *where: str, status: int) -> UploadView:
        """Receive the body and `put` its images where they belong; answer with the status."""
        caller, uploaded = self.caller, self.metrics.uploads
        if not self.pending.keyed:  # with a key, a stored answer comes before any check
            await run_in_threadpool(require_room, self.db, caller.workspace, caller.quota)
        source, once = await read_source(
            self.request, self.settings, uploaded, self.pending, self.names, self.group_by
        )
        view = await run_in_threadpool(
            put,
            self.db,
            self.store,
            caller.workspace,
            *where,
            source,
            limits=UploadLimits.of(self.settings),
            strict=self.strict,
            split=self.split,
            group_by=self.group_by,
            quota=caller.quota,
            on_created=lambda session, view: once.store_answer(
                session, status, view, _location(view) if status == 201 else None
            ),
        )
        if status == 201:
            self.response.headers.update(_location(view))
        return view


def _location(upload: UploadView) -> dict[str, str]:
    return {"Location": f"/v1/uploads/{upload.id}"}


Sent = Annotated[UploadRequest, Depends()]


@router.post(
    "",
    status_code=201,
    openapi_extra=SOURCE_BODY,
    responses=with_headers(
        responses(*SOURCE_ERRORS, StorageQuotaError, *IDEMPOTENCY_ERRORS), 201, "Location"
    ),
)
async def create_upload(sent: Sent) -> UploadView:
    """Create an upload of labelled images."""
    return await sent.receive(uploads.create, status=201)


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
async def add_images(upload_id: str, sent: Sent) -> UploadView:
    """Add images to an upload that no job has used."""
    return await sent.receive(uploads.add_images, upload_id, status=200)


@router.get("/{upload_id}/images", responses=responses(UploadNotFoundError))
def list_images(
    upload_id: str,
    db: DB,
    workspace: Workspace,
    label: LabelOption = None,
    split: Split | None = None,
    limit: Limit = DEFAULT_LIMIT,
    after: Position = None,
) -> Page[UploadImageView]:
    """List an upload's images in the order in which they are learnt."""
    found = images.page(
        db, workspace, upload_id, label=label, split=split, limit=limit + 1, after=after
    )
    return Page[UploadImageView].of(found, limit, lambda image: str(image.position))


@router.delete(
    "/{upload_id}/images",
    responses=responses(UploadNotFoundError, UploadInUseError, ImageNotFoundError),
)
def delete_images(
    upload_id: str,
    db: DB,
    workspace: Workspace,
    sha256: Annotated[
        list[Sha256],
        Query(max_length=_DELETED_AT_ONCE, description="Of an image to delete; may be repeated."),
    ] = [],  # noqa: B006 - the framework copies it
    label: LabelOption = None,
    split: Split | None = None,
) -> UploadView:
    """Delete the images of an unused upload that all parameters hold for.

    Returns the upload without them.
    """
    if not sha256 and label is None and split is None:
        raise InvalidRequestError("Say which images to delete: by sha256, label or split.")
    return images.delete(db, workspace, upload_id, hashes=sha256, label=label, split=split)


@router.get("", responses=responses())
def list_uploads(
    db: DB, workspace: Workspace, limit: Limit = DEFAULT_LIMIT, after: After = None
) -> Page[UploadView]:
    """List uploads, newest first."""
    found = uploads.page(db, workspace, limit=limit + 1, after=after)
    return Page[UploadView].of(found, limit, lambda upload: upload.id)


@router.get("/{upload_id}", responses=responses(UploadNotFoundError))
def get_upload(upload_id: str, db: DB, workspace: Workspace) -> UploadView:
    """Return an upload."""
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
