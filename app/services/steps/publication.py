"""How a finished learning step becomes a version: one transaction, or nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.repositories import (
    aliases as alias_rows,
    blobs as blob_rows,
    checkpoints as checkpoint_rows,
    jobs as job_rows,
    learning as learning_rows,
    leases as lease_rows,
    trained as trained_rows,
    versions as version_rows,
)
from app.db.repositories.events import Event
from app.db.repositories.learning import SizedImage
from app.db.tables import Classifier, Job, Version, VersionClass
from app.ids import new_id
from app.services import stored
from app.services.classifiers import accuracies
from app.services.classifiers.references import LIVE
from app.services.classifiers.version_views import MemoryView
from app.services.jobs import endings
from app.services.jobs.reports import ForgottenView, PurgedView
from app.services.steps import correcting, promoting, purging, reencoded
from app.services.steps.plans import CorrectPlan, ForgetPlan, LearnPlan, Plan
from app.services.steps.promoting import Decision
from app.services.steps.purging import Purged
from app.services.steps.reencoded import Reencoded
from app.services.steps.requests import annotations_of
from app.storage import BlobStore
from models.spec import Spec


@dataclass(frozen=True)
class Outcome:
    """What the training process made. Blobs are in the store already; sequences go by column.

    - `spec` is the one that was trained by, every default filled in.
    - `rankings` holds the exemplars, in herding order, of the classes that were ranked again, by
      column.
    - `kept` is how many exemplars each class has now.
    - `metrics` are those of `models.evaluate`.
    - `residual` names the parts that stay although they were learnt from images of forgotten
      classes too, or with labels that are corrected.
    - `reencoded` are those of the exemplars in `rankings` that are not images of an upload.
    """

    spec: Spec
    parts: dict[str, SizedImage]
    rankings: dict[int, list[str]]
    kept: tuple[int, ...]
    metrics: dict[str, Any]
    warnings: list[str]
    residual: tuple[str, ...] = ()
    reencoded: Reencoded | None = None


@dataclass(frozen=True)
class Publication:
    """The number of the version made, and the blobs that nothing refers to any more."""

    number: int
    released: list[str] = field(default_factory=list)


def publish(
    db: Database, store: BlobStore, plan: Plan, attempt: int, outcome: Outcome
) -> Publication | None:
    """Make the version and end the job as succeeded.

    Return None, with nothing written, where the attempt no longer holds the job or the job is being
    cancelled: a version whose job was cancelled never goes live. Raises CannotPurgeError and
    StorageChangedError, with nothing written.
    """
    with db.transaction() as session:
        now = db.now(session)
        # The fencing token is checked first: an attempt that lost the job changes nothing. The
        # row stays locked.
        if not lease_rows.finish(session, plan.job_id, attempt, "succeeded", now=now):
            return None
        uploads = purging.lock_for_update(session, plan) if purging.purges(plan) else []
        classifier = session.get_one(Classifier, plan.classifier_id, with_for_update=True)
        classifier.last_version += 1
        version = _add_version(session, store, plan, outcome, classifier.last_version, now)
        promotion = promoting.decide(session, plan, version)
        if promotion.live:
            alias_rows.point(session, classifier.id, LIVE, version.id, now=now)
        purged = purging.purge(session, plan, uploads, now=now) if purging.purges(plan) else None
        report = _report(session, plan, outcome, purged)
        if report is not None:
            job_rows.record_report(session, plan.job_id, report.model_dump(mode="json"))
        events = _events(version, outcome.warnings, promotion)
        endings.announce(session, plan.job_id, events, now=now)
        # This job's own, and those of jobs that would start from this version if retried.
        released = checkpoint_rows.remove_of_finished(session, classifier.id)
        released = blob_rows.unreferenced(session, released)
        if purged and purging.purges(plan) and plan.purge == "now":
            released += purged.blobs
        return Publication(version.number, released)


def _add_version(
    session: Session, store: BlobStore, plan: Plan, outcome: Outcome, number: int, now: datetime
) -> Version:
    """Write the version's rows, and record its tensors as stored.

    Raises StorageChangedError.
    """
    metrics = accuracies.without_rows(outcome.metrics)
    tasks = [planned.task for planned in plan.classes]
    sizes = {part.sha256: part.size for part in outcome.parts.values()}
    if outcome.reencoded:
        sizes |= {sha256: image.size for sha256, image in outcome.reencoded.images.items()}
    stored.record(session, store, sizes, now)
    if outcome.reencoded:
        reencoded.record(session, outcome.reencoded, outcome.spec.image_size)
    classes, memory = _classes(session, plan, outcome)
    version = Version(
        id=new_id("ver"),
        classifier_id=plan.classifier_id,
        number=number,
        parent_id=plan.base_version_id,
        job_id=plan.job_id,
        method=plan.spec.method,
        spec=outcome.spec.model_dump(mode="json"),
        metrics=metrics,
        memory=memory.model_dump(),
        last_index=plan.last_index,
        last_task=plan.last_task,
        annotations=annotations_of(session.get_one(Job, plan.job_id)),
        created_at=now,
    )
    for row in classes:
        row.version_id = version.id
    version_rows.add(
        session,
        version,
        parts={name: part.sha256 for name, part in outcome.parts.items()},
        classes=classes,
        held_out={planned.index: planned.new_held_out for planned in plan.classes},
        measured=[accuracies.own_row(number, outcome.metrics, tasks, plan.remeasured)],
        groups={
            (planned.index, sha256): plan.groups[planned.label, sha256]
            for planned in plan.classes
            for sha256 in planned.new_held_out
            if (planned.label, sha256) in plan.groups
        },
    )
    if isinstance(plan, LearnPlan):
        indices = {planned.label: planned.index for planned in plan.classes}
        trained_rows.record_trained(session, version.id, plan.trained, indices, plan.groups)
    if isinstance(plan, CorrectPlan):
        trained_rows.add_trained(session, version.id, plan.record)
    return version


def _classes(
    session: Session, plan: Plan, outcome: Outcome
) -> tuple[list[VersionClass], MemoryView]:
    """Return the rows of the class map and what the memory holds."""
    fresh = plan.fresh if isinstance(plan, LearnPlan) else ()
    sizes = {image.sha256: image.size for image in fresh}
    rows, memory = [], MemoryView()
    if outcome.reencoded and outcome.reencoded.images:
        memory.encoder = outcome.reencoded.encoder
        sizes.update((key, image.size) for key, image in outcome.reencoded.images.items())
    for column, planned in enumerate(plan.classes):
        kept = outcome.kept[column]
        ranked = [image.sha256 for image in planned.exemplars]
        sizes.update(planned.exemplars)
        ranking_id = planned.ranking_id if kept else None
        if column in outcome.rankings:
            ranked = outcome.rankings[column]
            ranking_id = learning_rows.add_ranking(session, plan.classifier_id, ranked)
        memory.exemplars += kept
        memory.bytes += sum(sizes[sha256] for sha256 in ranked[:kept])
        memory.held_out += len(planned.held_out) + len(planned.new_held_out)
        rows.append(
            VersionClass(
                index=planned.index,
                label=planned.label,
                task=planned.task,
                train_images=planned.train_images,
                ranking_id=ranking_id,
                kept=kept,
                **accuracies.class_columns(outcome.metrics, column),
            )
        )
    return rows, memory


def _report(
    session: Session, plan: Plan, outcome: Outcome, purged: Purged | None
) -> BaseModel | None:
    """Return what a job reports besides its version, None where that is nothing."""
    if isinstance(plan, ForgetPlan):
        return _forgotten(session, plan, outcome, purged)
    return correcting.report(plan, outcome.residual) if isinstance(plan, CorrectPlan) else None


def _forgotten(
    session: Session, plan: ForgetPlan, outcome: Outcome, purged: Purged | None
) -> ForgottenView:
    """Return the report of a job that forgot classes: what was deleted, and what may remain."""
    remaining = {planned.task for planned in plan.classes}
    return ForgottenView(
        forgotten=list(plan.labels),
        tasks=sorted(set(plan.base_tasks) - remaining),
        residual=_residual(session, plan, outcome),
        purged=PurgedView(versions=purged.versions, uploads=purged.uploads) if purged else None,
    )


def _residual(session: Session, plan: ForgetPlan, outcome: Outcome) -> list[str]:
    """Return what may hold something of the classes, after this job and after earlier ones.

    A class may have been learnt and forgotten before, under another index and in another task.
    """
    found = job_rows.reports(session, plan.classifier_id, kind="forget")
    reports = map(ForgottenView.model_validate, found)
    earlier = [
        name
        for report in reports
        if not set(plan.labels).isdisjoint(report.forgotten)
        for name in report.residual
    ]
    return list(dict.fromkeys([*outcome.residual, *earlier]))


def _events(version: Version, warnings: Sequence[str], promotion: Decision) -> list[Event]:
    accuracy, images = version.metrics["accuracy"], version.metrics.get("measured_on")
    measured = "not measured" if accuracy is None else f"accuracy {accuracy:.3f}"
    if images:
        measured += f" on {images} images never trained on"
    number, (live, reason) = version.number, promotion
    data = {"version": number, "live": live}
    became = f"Version {number} is {'live' if live else 'ready'}"
    return [
        *(Event("warning", warning, "warning") for warning in warnings),
        Event("published", f"Version {number}, {measured}.", data=data),
        Event("succeeded", f"{became} ({reason})." if reason else f"{became}."),
    ]
