"""How a finished learning step becomes a version: one transaction, or nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from sqlalchemy.orm import Session

from app.db.engine import Database
from app.db.repositories import (
    aliases as alias_rows,
    blobs as blob_rows,
    checkpoints as checkpoint_rows,
    jobs as job_rows,
    learning as learning_rows,
    versions as version_rows,
)
from app.db.repositories.jobs import Event
from app.db.repositories.learning import SizedImage
from app.db.tables import Classifier, Version, VersionClass
from app.ids import new_id
from app.services import stored
from app.services.classifiers.references import LIVE
from app.services.jobs import endings
from app.services.steps import purging
from app.services.steps.plans import ForgetPlan, LearnPlan, Plan
from app.services.steps.purging import Purged
from app.storage import BlobStore


@dataclass(frozen=True)
class Outcome:
    """What the training process made. Blobs are in the store already; lists go by column.

    `spec` is the `models.spec.Spec` that was trained by, every default filled in.
    `rankings` holds the exemplars, in herding order, of the classes that were ranked anew;
    `kept` how many exemplars each class has now; `metrics` are those of `models.evaluate`;
    `residual` names what still was learnt from images of classes that were forgotten.
    """

    spec: dict[str, Any]
    parts: dict[str, SizedImage]
    rankings: dict[int, list[str]]
    kept: tuple[int, ...]
    metrics: dict[str, Any]
    warnings: list[str]
    residual: tuple[str, ...] = ()


@dataclass(frozen=True)
class Published:
    """A new version's number, and the blobs that nothing refers to now."""

    number: int
    released: list[str] = field(default_factory=list)


def publish(
    db: Database, store: BlobStore, plan: Plan, attempt: int, outcome: Outcome
) -> Published | None:
    """Make the version and end the job as succeeded.

    None, with nothing written, where the attempt no longer holds the job or the job is being
    cancelled: a version whose job was cancelled never goes live. Raises CannotPurgeError where a
    purge was asked for and cannot be, and StorageChangedError, with nothing written.
    """
    with db.transaction() as session:
        now = db.now(session)
        # The fence comes first: whoever lost the job changes nothing, and the row stays locked.
        if not job_rows.succeed(session, plan.job_id, attempt, now=now):
            return None
        uploads = purging.lock(session, plan) if _purges(plan) else []
        classifier = session.get_one(Classifier, plan.classifier_id, with_for_update=True)
        classifier.last_version += 1
        metrics = _by_label(plan, outcome.metrics)
        last_index, last_task = _last_used(session, plan)
        classes, memory = _classes(session, plan, outcome)
        version = Version(
            id=new_id("ver"),
            classifier_id=classifier.id,
            number=classifier.last_version,
            parent_id=plan.base_version_id,
            job_id=plan.job_id,
            method=plan.spec["method"],
            spec=outcome.spec,
            metrics=metrics,
            memory=memory,
            last_index=last_index,
            last_task=last_task,
            created_at=now,
        )
        for row in classes:
            row.version_id = version.id
        sizes = {part.sha256: part.size for part in outcome.parts.values()}
        stored.record(session, store, sizes, now)
        version_rows.add(
            session,
            version,
            parts={name: part.sha256 for name, part in outcome.parts.items()},
            classes=classes,
            held_out={planned.index: planned.new_held_out for planned in plan.classes},
        )
        live, why = _promotion(session, plan, metrics)
        if live:
            alias_rows.point(session, classifier.id, LIVE, version.id, now=now)
        purged = purging.purge(session, plan, uploads) if _purges(plan) else None
        if isinstance(plan, ForgetPlan):
            residual = _residual(session, plan, outcome)
            job_rows.record_report(session, plan.job_id, _report(plan, residual, purged))
        endings.announce(session, plan.job_id, _events(version, outcome, live, why), now=now)
        # This job's own, and those of jobs that would start from this version if retried.
        released = checkpoint_rows.remove_of_finished(session, classifier.id)
        released = blob_rows.unreferenced(session, released)
        return Published(version.number, [*(purged.blobs if purged else []), *released])


def _purges(plan: Plan) -> TypeGuard[ForgetPlan]:
    return isinstance(plan, ForgetPlan) and plan.purge


def _residual(session: Session, plan: ForgetPlan, outcome: Outcome) -> list[str]:
    """Return what may keep something of the classes: after this job, and after earlier ones.

    A class may have been learnt and forgotten before, under another index and in another task.
    """
    reports = job_rows.reports(session, plan.classifier_id)
    earlier = [
        name
        for report in reports
        if not set(plan.labels).isdisjoint(report["forgotten"])
        for name in report["residual"]
    ]
    return list(dict.fromkeys([*outcome.residual, *earlier]))


def _report(plan: ForgetPlan, residual: list[str], purged: Purged | None) -> dict[str, Any]:
    """Return what a job that forgot classes tells: what went, and what stays of them."""
    remaining = {planned.task for planned in plan.classes}
    return {
        "forgotten": list(plan.labels),
        "tasks": sorted(set(plan.base_tasks) - remaining),
        "residual": residual,
        "purged": {"versions": purged.versions, "uploads": purged.uploads} if purged else None,
    }


def _last_used(session: Session, plan: Plan) -> tuple[int, int]:
    base = plan.base_version_id
    index, task = learning_rows.last_used(session, base) if base else (-1, -1)
    return (
        max(index, *(planned.index for planned in plan.classes)),
        max(task, *(planned.task for planned in plan.classes)),
    )


def _by_label(plan: Plan, metrics: dict[str, Any]) -> dict[str, Any]:
    labels = [planned.label for planned in plan.classes]
    return {**metrics, "per_class": dict(zip(labels, metrics["per_class"], strict=True))}


def _classes(
    session: Session, plan: Plan, outcome: Outcome
) -> tuple[list[VersionClass], dict[str, int]]:
    """Return the rows of the class map and what the memory holds."""
    fresh = plan.fresh if isinstance(plan, LearnPlan) else ()
    sizes = {image.sha256: image.size for image in fresh}
    rows, exemplars, stored, held_out = [], 0, 0, 0
    for column, planned in enumerate(plan.classes):
        kept = outcome.kept[column]
        ranked = [image.sha256 for image in planned.exemplars]
        sizes.update(planned.exemplars)
        ranking_id = planned.ranking_id if kept else None
        if column in outcome.rankings:
            ranked = outcome.rankings[column]
            ranking_id = learning_rows.add_ranking(session, plan.classifier_id, ranked)
        exemplars += kept
        stored += sum(sizes[sha256] for sha256 in ranked[:kept])
        held_out += len(planned.held_out) + len(planned.new_held_out)
        rows.append(
            VersionClass(
                index=planned.index,
                label=planned.label,
                task=planned.task,
                train_images=planned.train_images,
                ranking_id=ranking_id,
                kept=kept,
            )
        )
    return rows, {"exemplars": exemplars, "bytes": stored, "held_out": held_out}


def _promotion(session: Session, plan: Plan, metrics: dict[str, Any]) -> tuple[bool, str]:
    """Say whether the new version goes live at once, and why where that was measured.

    The first version always does, and one that purges the version that was live. Under `guarded`
    it is compared with the version that is live now, from which it need not descend; see `_drop`.
    Where nothing can be compared it goes live: whoever holds nothing out has no guard.
    """
    current = version_rows.by_alias(session, plan.classifier_id, LIVE)
    policy = plan.promotion["policy"]
    if current is None:
        return True, ""
    forgotten = plan.labels if isinstance(plan, ForgetPlan) else ()
    if _purges(plan) and current in version_rows.knowing(session, plan.classifier_id, forgotten):
        return True, ""
    if policy != "guarded":
        return bool(policy == "always"), ""
    drop = _drop(session, current, metrics, forgotten)
    if drop is None:
        return True, f"unguarded: nothing was measured to compare it with version {current.number}"
    limit = plan.promotion["max_accuracy_drop"]
    verdict = f"on the classes of version {current.number} accuracy changed by {-drop:+.3f}"
    return drop <= limit, f"{verdict}, where {-limit:+g} is allowed"


def _drop(
    session: Session, current: Version, metrics: dict[str, Any], forgotten: Sequence[str]
) -> float | None:
    """Return how much accuracy the live version's classes would lose, None where not measured.

    Each class is weighted by the images the live version was measured on. One that the new version
    lacks counts as wholly lost, unless its job was to forget it; that one, and one that only one of
    both was measured on, is left out.
    """
    held_out = learning_rows.held_out(session, current.id)
    lost, images = 0.0, 0
    for row in version_rows.classes(session, [current.id])[current.id]:
        before = current.metrics["per_class"].get(row.label)
        after = metrics["per_class"].get(row.label, 0.0)
        if before is not None and after is not None and row.label not in forgotten:
            weight = len(held_out.get(row.index, ()))
            lost += (before - after) * weight
            images += weight
    return lost / images if images else None


def _events(version: Version, outcome: Outcome, live: bool, why: str) -> list[Event]:
    accuracy = version.metrics["accuracy"]
    measured = "not measured" if accuracy is None else f"accuracy {accuracy:.3f}"
    data = {"version": version.number, "live": live}
    became = f"Version {version.number} is {'live' if live else 'ready'}"
    return [
        *(Event("warning", warning, "warning") for warning in outcome.warnings),
        Event("published", f"Version {version.number}, {measured}.", data=data),
        Event("succeeded", f"{became} ({why})." if why else f"{became}."),
    ]
