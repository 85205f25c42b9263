"""Appending collected images to an upload, at a cost of these images and not of those it has.

It counts its classes, groups and contradictions as they come, and is asked for no more than what it
has of the same pictures.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from app.db.repositories import (
    blobs as blob_rows,
    learning as learning_rows,
    uploads as upload_rows,
)
from app.db.repositories.learning import LabelledImage
from app.db.tables import Upload
from app.services import similar_labels, stored
from app.services.stored import StorageUnavailableError
from app.services.uploads import contradictory, rejections
from app.services.uploads.collecting import Collected, PreparedImage, regrouped_warnings
from app.services.uploads.contradictory import Contradiction, ContradictoryLabelsError
from app.services.uploads.rejections import RejectedReason
from app.services.uploads.sources import Rejection

# Rejected files and empty classes that an upload lists at most: a folder may hold 100,000 of them.
LISTED_REJECTIONS = 1000


def append(session: Session, upload: Upload, collected: Collected) -> None:
    """Insert the rows of the images that the upload, which the caller has locked, does not have.

    Raises StorageUnavailableError and StorageChangedError, and ContradictoryLabelsError for a
    `strict` request.
    """
    sent = collected.images
    pictures = {image.row.sha256: image.row.picture for image in sent}
    there = learning_rows.images_showing(session, upload.id, pictures)
    groups = {(image.label, image.picture): image.group for image in there}
    new = [image for image in sent if (image.label, image.row.picture) not in groups]
    regrouped = [
        image.name
        for image in sent
        if image.group not in (None, groups.get((image.label, image.row.picture), image.group))
    ]
    found = contradictory.find(map(_labelled, new), there)
    labels = upload.classes
    _insert(session, upload, collected, new)
    if collected.strict and (found or upload.contradictions):
        images = learning_rows.images_of(session, [upload.id])
        raise ContradictoryLabelsError(contradictory.find(images))
    said = [*upload.warnings, *collected.warnings, *regrouped_warnings(regrouped)]
    said = contradictory.with_warnings(said, found, earlier=upload.contradictions)
    if labels.keys() != upload.classes.keys():
        gone = {*similar_labels.warnings(labels)}
        said = [text for text in said if text not in gone]
        said += similar_labels.warnings(upload.classes)
    upload.warnings = list(dict.fromkeys(said))
    upload.contradictions += len(found)
    upload.duplicates += collected.duplicates + len(sent) - len(new)
    if collected.wrapping_folder is not None:
        upload.wrapping_folder = collected.wrapping_folder
    _append_rejected(upload, collected.rejected, upload.classes)
    session.flush()


def recount(session: Session, upload: Upload, before: Sequence[LabelledImage]) -> None:
    """Count anew what an upload has, from which images were deleted: `before` are all it had."""
    left = learning_rows.images_of(session, [upload.id])
    found = contradictory.find(left)
    gone = {*_warnings_of(before, contradictory.find(before))}
    others = [text for text in upload.warnings if text not in gone]
    upload.warnings = list(dict.fromkeys([*others, *_warnings_of(left, found)]))
    upload.contradictions = len(found)
    upload.classes = dict(Counter(image.label for image in left))
    upload.groups = len({image.group for image in left} - {None})
    upload.test_images = sum(image.split == "test" for image in left)
    session.flush()


def _insert(
    session: Session, upload: Upload, collected: Collected, new: Sequence[PreparedImage]
) -> None:
    """Insert the rows of new images, and count them."""
    try:
        sizes = {image.row.sha256: image.row.size for image in new}
        stored.record(session, collected.store, sizes, datetime.now(UTC))
    except OSError as error:
        raise StorageUnavailableError from error
    blob_rows.record_images(session, (image.row for image in new))
    first = upload_rows.next_position(session, upload.id)
    rows = [
        {
            "upload_id": upload.id,
            "position": position,
            "sha256": image.row.sha256,
            "label": image.label,
            "split": image.split,
            "name": image.name,
            "group": image.group or (upload.id if collected.one_group else None),
        }
        for position, image in enumerate(new, start=first)
    ]
    upload_rows.add_images(session, rows)
    upload.groups += upload_rows.count_new_groups(session, upload.id, first)
    upload.classes = _sum(upload.classes, Counter(image.label for image in new))
    upload.test_images += sum(image.split == "test" for image in new)


def _sum(counts: dict[str, int], new: Counter[str]) -> dict[str, int]:
    """Return the sum of two counts, in the order of the first."""
    return {**counts, **{label: counts.get(label, 0) + count for label, count in new.items()}}


def _labelled(image: PreparedImage) -> LabelledImage:
    row = image.row
    return LabelledImage(
        row.sha256, row.size, image.label, image.split, image.name, row.pixels_sha256
    )


def _warnings_of(images: Sequence[LabelledImage], found: Sequence[Contradiction]) -> list[str]:
    """Return what is suspicious of images with these contradictions, whoever sent them."""
    labels = Counter(image.label for image in images)
    return [*contradictory.with_warnings([], found), *similar_labels.warnings(labels)]


def _append_rejected(
    upload: Upload, rejected: Sequence[Rejection], labels: Collection[str]
) -> None:
    """Record what was rejected. `labels` are those of all images of the upload."""
    listed = [{"name": each.name, "reason": each.reason} for each in rejected]
    upload.rejected = [*upload.rejected, *listed][:LISTED_REJECTIONS]
    upload.rejected_count += len(rejected)
    known = [RejectedReason(**group) for group in upload.rejected_reasons]
    groups = rejections.grouped(rejected, known)
    upload.rejected_reasons = [group.model_dump() for group in groups]
    sent = (*upload.empty_classes, *(each.label for each in rejected if each.label is not None))
    empty = [label for label in dict.fromkeys(sent) if label not in labels]
    upload.empty_classes = empty[:LISTED_REJECTIONS]
