"""Uploads: labelled images sent in, immutable once a job uses them."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from app.db import rows
from app.db.engine import Database
from app.db.repositories import learning as learning_rows, uploads as upload_rows
from app.db.repositories.events import Event
from app.db.repositories.uploads import Among
from app.db.tables import Upload
from app.errors import UNTIL_A_JOB_ENDS, ServiceError
from app.ids import new_id
from app.services.access import limits as quotas
from app.services.access.limits import NO_QUOTA, Quota
from app.services.uploads import rejections
from app.services.uploads.appending import LISTED_REJECTIONS, append, recount
from app.services.uploads.collecting import Collected, TooManyImagesError, collect
from app.services.uploads.rejections import RejectedView
from app.services.uploads.sources import GroupBy, Source, Split, UploadLimits
from app.storage import BlobStore


class UploadNotFoundError(ServiceError, status=404, code="upload-not-found"):
    """No upload has that id."""


class UploadInUseError(ServiceError, status=409, code="upload-in-use"):
    """A job uses the upload."""


class SplitsView(BaseModel):
    """How many images of an upload each split has."""

    train: int
    test: int


class RejectionView(BaseModel):
    """A file that was not accepted, and why."""

    name: str
    reason: str


class UploadView(RejectedView):
    """An upload as clients see it."""

    id: str
    classes: dict[str, int]
    splits: SplitsView
    accepted: int
    duplicates: int
    rejected: list[RejectionView] = Field(description=f"The first {LISTED_REJECTIONS}.")
    groups: int = 0
    wrapping_folder: str | None = Field(
        None,
        description="It was around the folders of classes.",
    )
    warnings: list[str] = Field(
        [],
    )
    created_at: datetime


OnCreated = Callable[[Session, UploadView], None]


def insert(session: Session, workspace: str, collected: Collected) -> str:
    """Insert the rows of a new upload and return its id. The caller owns the transaction."""
    upload = Upload(id=new_id("upl"), workspace=workspace, created_at=datetime.now(UTC))
    rows.insert(session, upload)
    append(session, upload, collected)
    return upload.id


def create(
    db: Database,
    store: BlobStore,
    workspace: str,
    source: Source,
    *,
    limits: UploadLimits,
    strict: bool = False,
    split: Split = "train",
    group_by: GroupBy | None = None,
    quota: Quota = NO_QUOTA,
    on_created: OnCreated | None = None,
) -> UploadView:
    """Make an upload of all usable images in the source.

    `on_created` is called in the same transaction. Raises StorageQuotaError, what `collect`
    raises, and ContradictoryLabelsError where `strict`; no row is written then.
    """
    collected = collect(store, source, limits=limits, strict=strict, split=split, group_by=group_by)
    with db.transaction() as session:
        upload_id = insert(session, workspace, collected)
        quotas.check_stored(session, workspace, quota)
        made = view(session, workspace, upload_id)
        if on_created is not None:
            on_created(session, made)
        return made


def add_images(
    db: Database,
    store: BlobStore,
    workspace: str,
    upload_id: str,
    source: Source,
    *,
    limits: UploadLimits,
    strict: bool = False,
    split: Split = "train",
    group_by: GroupBy | None = None,
    quota: Quota = NO_QUOTA,
    on_created: OnCreated | None = None,
) -> UploadView:
    """Add the source's images to an upload that no job has used.

    `on_created` is called in the same transaction. Raises UploadNotFoundError, UploadInUseError,
    StorageQuotaError, what `collect` raises, and ContradictoryLabelsError where `strict`.
    """
    try:
        # Checked before the images are read, so that a request that must fail ends early.
        with db.reading() as session:
            _require_unused(session, require(session, workspace, upload_id))
    except ServiceError:
        source.close()
        raise
    collected = collect(store, source, limits=limits, strict=strict, split=split, group_by=group_by)
    with db.transaction() as session:
        upload = require(session, workspace, upload_id, for_update=True)
        _require_unused(session, upload)
        if sum(upload.classes.values()) + len(collected.images) > limits.images:
            raise TooManyImagesError(limits.images)
        append(session, upload, collected)
        quotas.check_stored(session, workspace, quota)
        changed = _view(upload)
        if on_created is not None:
            on_created(session, changed)
        return changed


def get(db: Database, workspace: str, upload_id: str) -> UploadView:
    """Return one upload. Raises UploadNotFoundError."""
    with db.reading() as session:
        return view(session, workspace, upload_id)


def rejection_warnings(session: Session, workspace: str, upload_ids: Iterable[str]) -> list[Event]:
    """Return what to tell of the rejected files of uploads beside a job that learns them."""
    found = (require(session, workspace, upload_id) for upload_id in upload_ids)
    views = [_view(upload) for upload in found if upload.rejected_count]
    return [rejections.warning(view.id, view, view.accepted + view.duplicates) for view in views]


def page(db: Database, workspace: str, *, limit: int, after: str | None) -> list[UploadView]:
    """Return up to `limit` uploads, newest first, older than the one named `after`."""
    with db.reading() as session:
        found = upload_rows.page(session, workspace, limit=limit, after=after)
        return [_view(upload) for upload in found]


def delete(db: Database, workspace: str, upload_id: str) -> None:
    """Delete an upload's rows; a sweep deletes those of its images that no version needs.

    Raises UploadNotFoundError, and UploadInUseError while an unfinished job uses the upload.
    """
    with db.transaction() as session:
        require(session, workspace, upload_id, for_update=True)
        if upload_rows.used_by_unfinished_job(session, upload_id):
            raise UploadInUseError(
                "A job that uses this upload has not finished. Wait for it, or cancel it.",
                headers=UNTIL_A_JOB_ENDS,
            )
        upload_rows.remove(session, upload_id)


def require(
    session: Session, workspace: str, upload_id: str, *, for_update: bool = False
) -> Upload:
    """Return the upload of that id; `for_update` locks its row. Raises UploadNotFoundError."""
    upload = upload_rows.find(session, workspace, upload_id, for_update=for_update)
    if upload is None:
        raise UploadNotFoundError("There is no such upload.")
    return upload


def _require_unused(session: Session, upload: Upload) -> None:
    if upload_rows.used_by_job(session, upload.id):
        raise UploadInUseError("A job has used this upload, so it cannot change. Use another one.")


def view(session: Session, workspace: str, upload_id: str) -> UploadView:
    """Return one upload within a transaction. Raises UploadNotFoundError."""
    return _view(require(session, workspace, upload_id))


def _view(upload: Upload) -> UploadView:
    images = sum(upload.classes.values())
    return UploadView(
        id=upload.id,
        classes=upload.classes,
        splits=SplitsView(train=images - upload.test_images, test=upload.test_images),
        accepted=images,
        duplicates=upload.duplicates,
        rejected=[RejectionView(**rejection) for rejection in upload.rejected],
        rejected_count=upload.rejected_count,
        rejected_reasons=upload.rejected_reasons,
        empty_classes=upload.empty_classes,
        groups=upload.groups,
        wrapping_folder=upload.wrapping_folder,
        warnings=upload.warnings,
        created_at=upload.created_at,
    )


def remove_images(session: Session, upload: Upload, among: Among) -> UploadView:
    """Delete labelled images of an upload that the caller has locked, and return it as it is then.

    Raises UploadInUseError.
    """
    _require_unused(session, upload)
    before = learning_rows.images_of(session, [upload.id])
    upload_rows.remove_images(session, upload.id, among)
    recount(session, upload, before)
    return _view(upload)
