"""Uploads: labelled images sent in, immutable once a job uses them."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from app.db import rows
from app.db.engine import Database
from app.db.repositories import (
    blobs as blob_rows,
    learning as learning_rows,
    uploads as upload_rows,
)
from app.db.repositories.events import Event
from app.db.repositories.learning import LabelledImage
from app.db.repositories.uploads import Among
from app.db.tables import Upload, UploadImage
from app.errors import UNTIL_A_JOB_ENDS, ServiceError
from app.ids import new_id
from app.services import similar_labels, stored
from app.services.access import limits as quotas
from app.services.access.limits import NO_QUOTA, Quota
from app.services.stored import StorageUnavailableError
from app.services.uploads import contradictory, rejections
from app.services.uploads.collecting import (
    Collected,
    TooManyImagesError,
    collect,
    regrouped_warnings,
)
from app.services.uploads.contradictory import ContradictoryLabelsError
from app.services.uploads.rejections import RejectedReason, RejectedView
from app.services.uploads.sources import GroupBy, Rejection, Source, Split, UploadLimits
from app.storage import BlobStore

# Rejected files and empty classes that an upload lists at most: a folder may hold 100,000 of them.
_LISTED_REJECTIONS = 1000


class UploadNotFoundError(ServiceError, status=404, code="upload-not-found"):
    """No upload has that id."""


class UploadInUseError(ServiceError, status=409, code="upload-in-use"):
    """A job uses the upload."""


class SplitsView(BaseModel):
    """How many images of an upload each split has."""

    train: int
    test: int = Field(description="Only ever measured on.")


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
    duplicates: int = Field(description="Images that their label had already.")
    rejected: list[RejectionView] = Field(
        description=f"The first {_LISTED_REJECTIONS} of the files that were not accepted."
    )
    groups: int = 0
    wrapping_folder: str | None = Field(
        None,
        description="The folder around the folders of classes, which was taken off.",
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
    _append(session, upload, collected)
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
        _append(session, upload, collected)
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


def _append(session: Session, upload: Upload, collected: Collected) -> None:
    """Insert the rows of the images that the upload does not have yet.

    Raises ContradictoryLabelsError for a `strict` request.
    """
    before = learning_rows.images_of(session, [upload.id])
    present = {(image.label, image.pixels_sha256 or image.sha256): image.group for image in before}
    new = [image for image in collected.images if (image.label, image.row.picture) not in present]
    regrouped = [
        image.name
        for image in collected.images
        if image.group not in (None, present.get((image.label, image.row.picture), image.group))
    ]
    now = datetime.now(UTC)
    try:
        sizes = {image.row.sha256: image.row.size for image in new}
        stored.record(session, collected.store, sizes, now)
    except OSError as error:
        raise StorageUnavailableError from error
    blob_rows.record_images(session, (image.row for image in new))
    upload_rows.add_images(
        session,
        [
            UploadImage(
                upload_id=upload.id,
                position=position,
                sha256=image.row.sha256,
                label=image.label,
                split=image.split,
                name=image.name,
                group=image.group or (upload.id if collected.one_group else None),
            )
            for position, image in enumerate(
                new, start=upload_rows.next_position(session, upload.id)
            )
        ],
    )
    upload.duplicates += collected.duplicates + len(collected.images) - len(new)
    if collected.wrapping_folder is not None:
        upload.wrapping_folder = collected.wrapping_folder
    session.flush()
    images = learning_rows.images_of(session, [upload.id])
    contradictions = contradictory.find(images)
    if collected.strict and contradictions:
        raise ContradictoryLabelsError(contradictions)
    _count(upload, images)
    _append_rejected(upload, collected.rejected, upload.classes)
    warnings = [
        *(*upload.warnings, *collected.warnings, *regrouped_warnings(regrouped)),
        *_warnings_of(images),
    ]
    upload.warnings = list(dict.fromkeys(warnings))
    session.flush()


def remove_images(session: Session, upload: Upload, among: Among) -> UploadView:
    """Delete labelled images of an upload that the caller has locked, and return it as it is then.

    Raises UploadInUseError.
    """
    _require_unused(session, upload)
    before = _warnings_of(learning_rows.images_of(session, [upload.id]))
    upload_rows.remove_images(session, upload.id, among)
    left = learning_rows.images_of(session, [upload.id])
    _count(upload, left)
    after = _warnings_of(left)
    others = [text for text in upload.warnings if text not in before]
    upload.warnings = list(dict.fromkeys([*others, *after]))
    session.flush()
    return _view(upload)


def _count(upload: Upload, images: Sequence[LabelledImage]) -> None:
    upload.classes = dict(Counter(image.label for image in images))
    upload.groups = len({image.group for image in images} - {None})
    upload.test_images = sum(image.split == "test" for image in images)


def _warnings_of(images: Sequence[LabelledImage]) -> list[str]:
    """Return what is suspicious of labelled images, whoever sent them."""
    labels = Counter(image.label for image in images)
    return [*contradictory.warnings(contradictory.find(images)), *similar_labels.warnings(labels)]


def _append_rejected(
    upload: Upload, rejected: Sequence[Rejection], labels: Collection[str]
) -> None:
    """Record what was rejected. `labels` are those of all images of the upload."""
    listed = [{"name": each.name, "reason": each.reason} for each in rejected]
    upload.rejected = [*upload.rejected, *listed][:_LISTED_REJECTIONS]
    upload.rejected_count += len(rejected)
    known = [RejectedReason(**group) for group in upload.rejected_reasons]
    groups = rejections.grouped(rejected, known)
    upload.rejected_reasons = [group.model_dump() for group in groups]
    sent = (*upload.empty_classes, *(each.label for each in rejected if each.label is not None))
    empty = [label for label in dict.fromkeys(sent) if label not in labels]
    upload.empty_classes = empty[:_LISTED_REJECTIONS]
