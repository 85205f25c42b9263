"""Queries about uploads and their images."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, case, delete, exists, func, insert, or_, select
from sqlalchemy.orm import Session, aliased

from app.db.rows import group
from app.db.tables import (
    FINAL_STATES,
    Classifier,
    Image,
    Job,
    JobCheckpoint,
    JobUpload,
    Upload,
    UploadImage,
)


def add_images(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert labelled images, by the columns of each. Their blobs and images are recorded."""
    if rows:
        session.execute(insert(UploadImage), rows)


def find(
    session: Session, workspace: str, upload_id: str, *, for_update: bool = False
) -> Upload | None:
    """Return an upload; `for_update` keeps others from changing it or giving it to a job."""
    query = select(Upload).where(Upload.workspace == workspace, Upload.id == upload_id)
    query = query.execution_options(populate_existing=True)
    return session.scalar(query.with_for_update() if for_update else query)


def page(session: Session, workspace: str, *, limit: int, after: str | None) -> list[Upload]:
    """Return uploads, newest first, older than the one named `after`."""
    query = select(Upload).where(Upload.workspace == workspace)
    if after is not None:
        query = query.where(Upload.id < after)
    return list(session.scalars(query.order_by(Upload.id.desc()).limit(limit)))


def lock_for_update(session: Session, upload_id: str) -> bool:
    """Keep others from changing an upload or giving it to a job; False where it does not exist."""
    query = select(Upload.id).where(Upload.id == upload_id).with_for_update()
    return session.scalar(query) is not None


def lock_for_share(session: Session, *, used_by: str) -> None:
    """Keep others from deleting the uploads that jobs of a classifier used, until the commit.

    Call it before the classifier is locked: the creation of a job locks in this order.
    """
    used = select(JobUpload.upload_id).join(Job, Job.id == JobUpload.job_id)
    query = select(Upload.id).where(Upload.id.in_(used.where(Job.classifier_id == used_by)))
    session.execute(query.order_by(Upload.id).with_for_update(read=True, key_share=True))


def learnt_from(session: Session, classifier_id: str, labels: Collection[str]) -> list[str]:
    """Return the uploads with images of the labels that jobs of the classifier have used."""
    used = select(JobUpload.upload_id).join(Job, Job.id == JobUpload.job_id)
    query = select(UploadImage.upload_id).where(
        UploadImage.label.in_(labels),
        UploadImage.upload_id.in_(used.where(Job.classifier_id == classifier_id)),
    )
    return sorted(session.scalars(query.distinct()))


def blobs_of(session: Session, upload_ids: Sequence[str]) -> set[str]:
    """Return the hashes of uploads' images, and of the checkpoints deleted together with them."""
    images = select(UploadImage.sha256).where(UploadImage.upload_id.in_(upload_ids))
    jobs = select(JobUpload.job_id).where(JobUpload.upload_id.in_(upload_ids))
    checkpoints = select(JobCheckpoint.sha256).where(JobCheckpoint.job_id.in_(jobs))
    return {*session.scalars(images), *session.scalars(checkpoints)}


def expired(
    session: Session, limit_at: datetime | None, *, only: str | None = None, limit: int = 1
) -> list[str]:
    """Return uploads whose retention has ended, oldest first.

    These are uploads whose jobs have all ended, the last one before `limit_at`; without a moment,
    one of them must have succeeded, of a classifier: what only advice was asked for is yet to be
    learnt. Uploads that a classifier with `keep_images` learnt from are not among them.
    """
    keeps_images = Classifier.spec["keep_images"].as_boolean()
    keepers = select(Classifier.id).where(keeps_images)

    def used(*where: ColumnElement[bool]) -> ColumnElement[bool]:
        by_job = and_(JobUpload.upload_id == Upload.id, Job.id == JobUpload.job_id)
        return exists().where(by_job, *where)

    still_needed: ColumnElement[bool] = Job.state.not_in(FINAL_STATES)
    if limit_at is not None:
        still_needed = or_(still_needed, Job.finished_at >= limit_at)
    learnt = and_(Job.state == "succeeded", Job.classifier_id.is_not(None))
    query = select(Upload.id).where(
        used() if limit_at is not None else used(learnt),
        ~used(or_(still_needed, Job.classifier_id.in_(keepers))),
    )
    if only is not None:
        query = query.where(Upload.id == only)
    return list(session.scalars(query.order_by(Upload.id).limit(limit)))


def remove(session: Session, upload_id: str) -> None:
    """Delete an upload with its labelled images, and remove it from the jobs that learnt from it.

    Those jobs can no longer be retried, so their checkpoints are deleted too.
    """
    jobs = select(JobUpload.job_id).where(JobUpload.upload_id == upload_id)
    session.execute(delete(JobCheckpoint).where(JobCheckpoint.job_id.in_(jobs)))
    session.execute(delete(JobUpload).where(JobUpload.upload_id == upload_id))
    session.execute(delete(Upload).where(Upload.id == upload_id))


class Among(NamedTuple):
    """Which of an upload's images are meant: those of a label, a split, some hashes; or of all."""

    label: str | None = None
    split: str | None = None
    hashes: Collection[str] = ()

    def of(self, upload_id: str) -> ColumnElement[bool]:
        """Return the condition that these images of an upload meet."""
        wanted = [UploadImage.upload_id == upload_id]
        if self.label is not None:
            wanted.append(UploadImage.label == self.label)
        if self.split is not None:
            wanted.append(UploadImage.split == self.split)
        if self.hashes:
            wanted.append(UploadImage.sha256.in_(self.hashes))
        return and_(*wanted)


def page_of_images(
    session: Session, upload_id: str, among: Among, *, limit: int, after: int | None
) -> list[UploadImage]:
    """Return up to `limit` labelled images of an upload, behind the position `after`."""
    query = select(UploadImage).where(among.of(upload_id))
    if after is not None:
        query = query.where(UploadImage.position > after)
    return list(session.scalars(query.order_by(UploadImage.position).limit(limit)))


def hashes_of_images(session: Session, upload_id: str, among: Among) -> set[str]:
    """Return the hashes of labelled images of an upload."""
    return set(session.scalars(select(UploadImage.sha256).where(among.of(upload_id))))


def remove_images(session: Session, upload_id: str, among: Among) -> None:
    """Delete labelled images of an upload. The positions of the others stay."""
    session.execute(delete(UploadImage).where(among.of(upload_id)))


def next_position(session: Session, upload_id: str) -> int:
    """Return the position of the next image that is added to an upload."""
    query = select(func.max(UploadImage.position)).where(UploadImage.upload_id == upload_id)
    last = session.scalar(query)
    return 0 if last is None else last + 1


def count_new_groups(session: Session, upload_id: str, position: int) -> int:
    """Return how many groups of an upload have no image before that position."""
    earlier = aliased(UploadImage)
    query = select(func.count(UploadImage.group.distinct())).where(
        UploadImage.upload_id == upload_id,
        UploadImage.position >= position,
        UploadImage.group.is_not(None),
        ~exists().where(
            earlier.upload_id == upload_id,
            earlier.group == UploadImage.group,
            earlier.position < position,
        ),
    )
    return session.scalar(query) or 0


def count_small(session: Session, upload_ids: Sequence[str], *, side: int) -> tuple[int, int]:
    """Return how many labelled images uploads have without a side over `side`, and in all."""
    small = and_(Image.width <= side, Image.height <= side)
    query = (
        select(func.count(case((small, 1))), func.count())
        .select_from(UploadImage)
        .join(Image, Image.sha256 == UploadImage.sha256)
        .where(UploadImage.upload_id.in_(upload_ids))
    )
    small_ones, images = session.execute(query).one()
    return small_ones, images


def train_counts(session: Session, upload_ids: Sequence[str]) -> dict[str, int]:
    """Return every label of uploads and how many images it has to train on, in their order."""
    of_training = func.count(case((UploadImage.split == "train", 1)))
    query = (
        select(UploadImage.upload_id, UploadImage.label, of_training)
        .where(UploadImage.upload_id.in_(upload_ids))
        .group_by(UploadImage.upload_id, UploadImage.label)
        .order_by(func.min(UploadImage.position))
    )
    found = group((upload_id, (label, count)) for upload_id, label, count in session.execute(query))
    counts: dict[str, int] = {}
    for upload_id in upload_ids:
        for label, count in found.get(upload_id, ()):
            counts[label] = counts.get(label, 0) + count
    return counts


def used_by_job(session: Session, upload_id: str) -> bool:
    """Say whether any job, finished or not, has been given the upload."""
    return bool(session.scalar(select(exists().where(JobUpload.upload_id == upload_id))))


def used_by_unfinished_job(session: Session, upload_id: str, *, besides: str | None = None) -> bool:
    """Say whether an unfinished job needs the upload; jobs of the classifier `besides` aside."""
    unfinished = exists().where(
        JobUpload.upload_id == upload_id,
        Job.id == JobUpload.job_id,
        Job.state.not_in(FINAL_STATES),
    )
    if besides is not None:
        unfinished = unfinished.where(Job.classifier_id.is_distinct_from(besides))
    return bool(session.scalar(select(unfinished)))
