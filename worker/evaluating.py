"""What a version says of labelled images, in the training process: evaluations, and what is kept.

An evaluation predicts images as serving does.
"""

from collections import Counter

import torch

from app.db.repositories.evaluated import EvaluatedRow
from app.services.classifiers.confusion import ConfusionView
from app.services.jobs.evaluation_view import (
    CalibrationView,
    CalledUnknownView,
    ClassFiguresView,
    EvaluationView,
    LeftOutView,
)
from app.services.steps.evaluating import Evaluated
from app.services.steps.plans import EvaluatePlan
from models import figures, judging
from models.compute import Compute
from models.errors import Cancelled, LearningError
from models.judging import Judgement
from models.serving import Predictions, predictions
from models.state import Tensors
from models.step import StepResult
from worker import compiling, reading
from worker.attempt import Attempt

# How long the main thread may be silent while the version is loaded.
_LOAD_SECONDS = 300.0

_NO_SCORES = (
    "the version has no scores of held-out images, or the request names a task or another way to "
    "classify than its default"
)
_TOO_FEW = "too few images are held out to promise so few false alarms: allow more of them"


def evaluate(attempt: Attempt, plan: EvaluatePlan) -> Evaluated:
    """Predict the plan's images and measure. Raises Cancelled, and what reading does."""
    pixels = reading.decode_all(attempt, [image.sha256 for image in plan.images])
    base = reading.base(attempt, tuple(planned.task for planned in plan.classes))

    def pause(done: float = 0.0) -> None:
        if attempt.stop.is_set():
            raise Cancelled
        # Nearly all of the job, where nothing is trained.
        attempt.reporter.overall("evaluating", 0.05 + 0.9 * done)

    pause()
    attempt.reporter.quiet(_LOAD_SECONDS)
    found = predictions(
        attempt.spec,
        base,
        pixels,
        task=plan.task,
        classify=plan.classify,
        device=Compute.on(attempt.resources.device).device,
        pause=pause,
        compile_trunk=compiling.of(attempt, attempt.spec, len(pixels)),
    )
    if bool(found.log_scores.isnan().any()):
        raise LearningError("training-failed", "the version gives images no finite scores")
    rows = _rows(plan, found)
    return Evaluated(_report(plan, found, rows), rows)


def judged_parts(attempt: Attempt, result: StepResult) -> dict[str, Tensors]:
    """Return the parts that have what the version says of images whose label is known."""
    judged = {judging.LEFT_OUT: result.left_out}
    if result.held_out is not None:
        hashes, columns = reading.held_out_of(attempt.version_plan)
        judged[judging.HELD_OUT] = judging.Judged.of(
            result.held_out.log_scores, columns, reading.digests(hashes)
        )
    return {name: found.part() for name, found in judged.items() if found is not None}


def _rows(plan: EvaluatePlan, found: Predictions) -> list[EvaluatedRow]:
    """Return what is said of each image: the most surely wrong first, unknown labels last."""
    labels = [planned.label for planned in plan.classes]
    highest, predicted = found.log_scores.max(dim=1)
    p_values = [None] * len(highest) if found.p_known is None else found.p_known.tolist()
    promised = found.least is not None and found.least <= plan.false_alarms
    ranked: list[tuple[tuple[object, ...], EvaluatedRow]] = []
    for position, image in enumerate(plan.images):
        column, best = image.column, int(predicted[position])
        log_score, p_known = float(highest[position]), p_values[position]
        own = None if column is None else float(found.log_scores[position, column])
        row = EvaluatedRow(
            sha256=image.sha256,
            label=image.label,
            predicted=labels[best],
            score=_score(log_score),
            label_score=None if own is None else _score(own),
            p_known=p_known,
            known=p_known > plan.false_alarms if promised and p_known is not None else None,
        )
        if column is None or own is None:
            rank: tuple[object, ...] = (True, -(p_known or 0.0), -log_score, image.sha256)
        else:
            rank = (False, Judgement(image.sha256, column, best, log_score, own).rank)
        ranked.append((rank, row))
    return [row for _, row in sorted(ranked, key=lambda pair: pair[0])]


def _score(log_score: float) -> float:
    return float(torch.tensor(log_score, dtype=torch.float64).exp())


def _report(plan: EvaluatePlan, found: Predictions, rows: list[EvaluatedRow]) -> EvaluationView:
    labels = [planned.label for planned in plan.classes]
    has_column = torch.tensor([image.column is not None for image in plan.images])
    known = [image for image in plan.images if image.column is not None]
    columns = torch.tensor([image.column for image in known])
    groups = reading.numbered(image.group for image in known)
    measured = figures.measure(found.log_scores[has_column], columns, groups)
    unknown = Counter(image.label for image in plan.images if image.column is None)
    return EvaluationView(
        version=plan.version,
        source="held_out" if plan.held_out else "uploads",
        task=plan.task,
        classify=plan.classify,
        images=measured["images"],
        left_out=LeftOutView(
            **{name: plan.left_out.get(name, 0) for name in LeftOutView.model_fields}
        ),
        accuracy=measured["accuracy"],
        standard_error=measured["standard_error"],
        standard_error_kind=measured["standard_error_kind"],
        measured_on_groups=measured["measured_on_groups"],
        per_class=[
            ClassFiguresView(label=label, **row)
            for label, row in zip(labels, measured["per_class"], strict=True)
        ],
        confusion=ConfusionView.of(labels, torch.tensor(measured["confusion"])),
        calibration=CalibrationView.model_validate(measured["calibration"]),
        false_alarms=plan.false_alarms,
        known_why=_why(found, plan.false_alarms),
        known=_called_unknown([row for row in rows if row.label_score is not None]),
        unknown=_called_unknown([row for row in rows if row.label_score is None]),
        unknown_labels=dict(unknown),
    )


def _why(found: Predictions, false_alarms: float) -> str | None:
    if found.least is None:
        return _NO_SCORES
    return _TOO_FEW if found.least > false_alarms else None


def _called_unknown(rows: list[EvaluatedRow]) -> CalledUnknownView:
    told = [row.known for row in rows if row.known is not None]
    called = sum(not known for known in told) if told else None
    share = None if called is None else called / len(told)
    return CalledUnknownView(images=len(rows), called_unknown=called, share=share)
