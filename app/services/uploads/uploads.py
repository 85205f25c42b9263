"""Uploads: labelled images sent in, immutable once a job uses them.

Images go into the blob store first, then every row in one transaction: a refused upload leaves no
row, and a blob without a row is swept.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import structlog
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.repositories import blobs as blob_rows, uploads as upload_rows
from app.db.tables import Image, Upload, UploadImage
from app.errors import FieldError, ServiceError
from app.ids import new_id
from app.imaging.reading import UnreadableImageError
from app.imaging.sanitise import sanitise
from app.services import stored
from app.services.access import limits as quotas
from app.services.access.limits import NO_QUOTA, Quota
from app.services.labels import clean_label
from app.services.stored import (
    StorageChangedError,
    StorageFullError,
    StorageUnavailableError,
)
from app.services.uploads.sources import Item, Rejection, Source, Split, UploadLimits, shown
from app.storage import BlobStore, is_full

# Decoding releases the interpreter and storing waits for the disk, so a few at once go faster.
# A store in the network is worth more, but decoded images are large: not more of those.
_WORKERS = 4
# Refusals are listed up to here: a folder of 100,000 text files need not be.
_LISTED_REJECTIONS = 1000

_In = TypeVar("_In")
_Out = TypeVar("_Out")

log = structlog.get_logger(__name__)


class UploadNotFoundError(ServiceError, status=404, code="upload-not-found"):
    """No upload has that id."""


class UploadInUseError(ServiceError, status=409, code="upload-in-use"):
    """A job uses the upload."""


class NoUsableImagesError(ServiceError, status=422, code="no-usable-images"):
    """Nothing that was sent can be trained on."""


class RejectedImagesError(ServiceError, status=422, code="rejected-images"):
    """Some images are refused, and `strict` makes it all or nothing."""


class TooManyImagesError(ServiceError, status=413, code="too-many-images"):
    """The upload holds more images than this server takes at once."""


# What `collect` may raise, besides what its source does.
COLLECT_ERRORS = (
    NoUsableImagesError,
    RejectedImagesError,
    TooManyImagesError,
    StorageFullError,
    StorageChangedError,
    StorageUnavailableError,
)


@dataclass(frozen=True)
class PreparedImage:
    """An image in the blob store, ready for its rows."""

    sha256: str
    size: int
    media_type: str
    width: int
    height: int
    label: str
    split: Split
    name: str


@dataclass(frozen=True)
class Collected:
    """What a source gave, stored but without rows. No (label, image) is there twice."""

    images: tuple[PreparedImage, ...]
    duplicates: int
    rejected: tuple[Rejection, ...]
    store: BlobStore

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of their first image."""
        return tuple(dict.fromkeys(image.label for image in self.images))


class RejectionView(BaseModel):
    """One thing that was not taken."""

    name: str
    reason: str


class UploadView(BaseModel):
    """An upload as clients see it."""

    id: str
    classes: dict[str, int] = Field(description="Images of each class.")
    accepted: int = Field(description="Images taken.")
    duplicates: int = Field(description="Images left out: the same under the same label before.")
    rejected: list[RejectionView]
    created_at: datetime


OnCreated = Callable[[Session, UploadView], None]


def collect(
    store: BlobStore,
    source: Source,
    *,
    limits: UploadLimits,
    strict: bool = False,
    split: Split = "train",
) -> Collected:
    """Sanitise and store every image of the source, making no row, and close the source.

    Raises one of `COLLECT_ERRORS`, or what the source raises where it is refused as a whole.
    """

    decoding = threading.BoundedSemaphore(_WORKERS)

    def prepare(item: Item | Rejection) -> PreparedImage | Rejection:
        if isinstance(item, Rejection):
            return Rejection(shown(item.name), item.reason)
        return _prepare(store, item, limits, split, decoding)

    images: dict[tuple[str, str], PreparedImage] = {}
    rejected: list[Rejection] = []
    duplicates = 0
    try:
        for result in _in_order(
            prepare,
            _counted(source.items(limits), limits.images),
            max(_WORKERS, store.parallel),
        ):
            if isinstance(result, Rejection):
                rejected.append(result)
            elif (key := (result.label, result.sha256)) in images:
                duplicates += 1
            else:
                images[key] = result
    finally:
        source.close()
    if strict and rejected:
        raise RejectedImagesError(
            f"{len(rejected)} of what was sent cannot be taken, and strict=true was asked for.",
            errors=_listed(rejected),
        )
    if not images:
        raise NoUsableImagesError(
            "Nothing that was sent is an image under a class name.", errors=_listed(rejected)
        )
    return Collected(tuple(images.values()), duplicates, tuple(rejected), store)


def insert(session: Session, workspace: str, collected: Collected) -> str:
    """Write the rows of a new upload and return its id. The caller owns the transaction."""
    upload = Upload(
        id=new_id("upl"),
        workspace=workspace,
        duplicates=0,
        rejected=[],
        created_at=datetime.now(UTC),
    )
    upload_rows.add(session, upload)
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
    quota: Quota = NO_QUOTA,
    on_created: OnCreated | None = None,
) -> UploadView:
    """Make an upload of everything usable in the source.

    `on_created` is called in the same transaction. Raises StorageQuotaError and what `collect`
    raises; nothing of the upload is left then.
    """
    collected = collect(store, source, limits=limits, strict=strict, split=split)
    with db.transaction() as session:
        upload_id = insert(session, workspace, collected)
        quotas.check_stored(session, workspace, quota)
        view = _view(session, _require(session, workspace, upload_id))
        if on_created is not None:
            on_created(session, view)
        return view


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
    quota: Quota = NO_QUOTA,
    on_created: OnCreated | None = None,
) -> UploadView:
    """Add the source's images to an upload that no job has used.

    `on_created` is called in the same transaction. Raises UploadNotFoundError, UploadInUseError,
    StorageQuotaError and what `collect` raises.
    """
    try:
        # Before the images are read, so that a hopeless request ends early.
        with db.reading() as session:
            _require_unused(session, _require(session, workspace, upload_id))
    except ServiceError:
        source.close()
        raise
    collected = collect(store, source, limits=limits, strict=strict, split=split)
    with db.transaction() as session:
        upload = _require(session, workspace, upload_id, for_update=True)
        _require_unused(session, upload)
        if upload_rows.count_images(session, upload_id) + len(collected.images) > limits.images:
            raise _too_many(limits.images)
        _append(session, upload, collected)
        quotas.check_stored(session, workspace, quota)
        view = _view(session, upload)
        if on_created is not None:
            on_created(session, view)
        return view


def get(db: Database, workspace: str, upload_id: str) -> UploadView:
    """Return one upload. Raises UploadNotFoundError."""
    with db.reading() as session:
        return _view(session, _require(session, workspace, upload_id))


def page(db: Database, workspace: str, *, limit: int, after: str | None) -> list[UploadView]:
    """Return up to `limit` uploads, newest first, older than the one named `after`."""
    with db.reading() as session:
        found = upload_rows.page(session, workspace, limit=limit, after=after)
        return [_view(session, upload) for upload in found]


def delete(db: Database, workspace: str, upload_id: str) -> None:
    """Remove an upload. Images that versions need stay.

    Raises UploadNotFoundError, and UploadInUseError while a job that uses it is not finished.
    """
    with db.transaction() as session:
        _require(session, workspace, upload_id, for_update=True)
        if upload_rows.used_by_unfinished_job(session, upload_id):
            raise UploadInUseError("A job that uses this upload is not finished.")
        upload_rows.remove(session, upload_id)


def _require(
    session: Session, workspace: str, upload_id: str, *, for_update: bool = False
) -> Upload:
    upload = upload_rows.find(session, workspace, upload_id, for_update=for_update)
    if upload is None:
        raise UploadNotFoundError("There is no such upload.")
    return upload


def _require_unused(session: Session, upload: Upload) -> None:
    if upload_rows.used_by_job(session, upload.id):
        raise UploadInUseError("A job has used this upload, so it no longer changes.")


def _too_many(images: int) -> TooManyImagesError:
    return TooManyImagesError(f"An upload holds at most {images} images.")


def _view(session: Session, upload: Upload) -> UploadView:
    classes = upload_rows.count_by_label(session, upload.id)
    return UploadView(
        id=upload.id,
        classes=classes,
        accepted=sum(classes.values()),
        duplicates=upload.duplicates,
        rejected=[RejectionView(**rejection) for rejection in upload.rejected],
        created_at=upload.created_at,
    )


def _append(session: Session, upload: Upload, collected: Collected) -> None:
    """Write the rows of the images that the upload does not have yet."""
    present = upload_rows.labelled_hashes(session, upload.id)
    new = [image for image in collected.images if (image.label, image.sha256) not in present]
    now = datetime.now(UTC)
    try:
        stored.record(session, collected.store, {image.sha256: image.size for image in new}, now)
    except OSError as error:
        raise StorageUnavailableError from error
    blob_rows.record_images(
        session,
        [
            Image(
                sha256=image.sha256,
                media_type=image.media_type,
                width=image.width,
                height=image.height,
            )
            for image in new
        ],
    )
    first = len(present)
    upload_rows.add_images(
        session,
        [
            UploadImage(
                upload_id=upload.id,
                position=position,
                sha256=image.sha256,
                label=image.label,
                split=image.split,
                name=image.name,
            )
            for position, image in enumerate(new, start=first)
        ],
    )
    upload.duplicates += collected.duplicates + len(collected.images) - len(new)
    listed = [*upload.rejected, *(vars(rejection) for rejection in collected.rejected)]
    upload.rejected = listed[:_LISTED_REJECTIONS]
    session.flush()


def _prepare(
    store: BlobStore,
    item: Item,
    limits: UploadLimits,
    split: Split,
    decoding: threading.BoundedSemaphore,
) -> PreparedImage | Rejection:
    try:
        label = clean_label(item.label)
        with decoding:
            image = sanitise(item.data, limits.image)
    except (ValueError, UnreadableImageError) as error:
        return Rejection(shown(item.name), str(error))
    try:
        sha256 = store.put(image.data)
    except OSError as error:
        log.error("image_not_stored", error=str(error))
        if is_full(error):
            raise StorageFullError("The image could not be stored.") from error
        raise StorageUnavailableError from error
    return PreparedImage(
        sha256=sha256,
        size=len(image.data),
        media_type=image.media_type,
        width=image.width,
        height=image.height,
        label=label,
        split=item.split or split,
        name=shown(item.name),
    )


def _counted(items: Iterable[Item | Rejection], limit: int) -> Iterator[Item | Rejection]:
    for count, item in enumerate(items, start=1):
        if count > limit:
            raise _too_many(limit)
        yield item


def _in_order(
    function: Callable[[_In], _Out], values: Iterable[_In], threads: int
) -> Iterator[_Out]:
    """Map over threads: results in order, few values in memory."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[_Out]] = deque()
        for value in values:
            waiting.append(pool.submit(function, value))
            if len(waiting) > threads + _WORKERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _listed(rejected: Sequence[Rejection]) -> list[FieldError]:
    return [FieldError(f"/{rejection.name}", rejection.reason) for rejection in rejected[:100]]
