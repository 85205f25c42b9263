"""Whether a version that a job makes goes live at once, by its classifier's promotion."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy.orm import Session

from app.db.repositories import learning as learning_rows, versions as version_rows
from app.db.tables import Version
from app.services.classifiers.references import LIVE
from app.services.steps import purging
from app.services.steps.plans import ForgetPlan, Plan


class Decision(NamedTuple):
    """Whether a new version goes live at once, and why where that was measured."""

    live: bool
    reason: str = ""


def decide(session: Session, plan: Plan, made: Version) -> Decision:
    """Decide by the classifier's promotion whether the new version goes live at once.

    A classifier's first version always does, and so does one that purges the version that was live.
    Under `guarded` it is compared with the version that is live now, which need not be an ancestor;
    see `_drop`. It also goes live where nothing can be compared.
    """
    current = version_rows.by_alias(session, plan.classifier_id, LIVE)
    if current is None:
        return Decision(True)
    forgotten = plan.labels if isinstance(plan, ForgetPlan) else ()
    if purging.purges(plan) and current in version_rows.with_labels(
        session, plan.classifier_id, forgotten
    ):
        return Decision(True)
    limit = plan.promotion.max_accuracy_drop
    if limit is None:  # the policy is not `guarded`
        return Decision(plan.promotion.policy == "always")
    drop = _drop(session, current, made, forgotten)
    if drop is None:
        reason = f"unguarded: nothing was measured to compare it with version {current.number}"
        return Decision(True, reason)
    verdict = f"on the classes of version {current.number} accuracy changed by {-drop:+.3f}"
    return Decision(drop <= limit, f"{verdict}, where {-limit:+g} is allowed")


def _drop(
    session: Session, current: Version, made: Version, forgotten: Sequence[str]
) -> float | None:
    """Return how much accuracy the live version's classes would lose, None where not measured.

    Each class is weighted by the images the live version was measured on. A class that the new
    version lacks counts as wholly lost, unless its job was to forget it. Classes that were not
    measured in both versions are left out.
    """
    held_out = learning_rows.held_out(session, current.id)
    classes = version_rows.classes(session, [current.id, made.id])
    measured = {row.label: row.accuracy for row in classes[made.id]}
    lost, images = 0.0, 0
    for row in classes[current.id]:
        before, after = row.accuracy, measured.get(row.label, 0.0)
        if before is not None and after is not None and row.label not in forgotten:
            weight = len(held_out.get(row.index, ()))
            lost += (before - after) * weight
            images += weight
    return lost / images if images else None
