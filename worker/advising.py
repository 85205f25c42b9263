"""Advice, in the training process: reads images at each size, and measures methods on them."""

from functools import partial

import torch
from torch import Tensor

from app.imaging import rules
from app.imaging.decode import decode
from app.imaging.reading import STORED
from app.services.advice.ending import Advised
from app.services.advice.planning import AdvicePlan
from app.services.jobs.advice_view import (
    AdviceRowView,
    AdviceView,
    LeftOutCandidateView,
    RecommendationView,
)
from models.advice import Advice, Candidate, JudgedImages, LeftOut, Row, advise as measure
from models.advice.advising import Doing
from models.spec import Settings
from worker import compiling, reading
from worker.attempt import Attempt
from worker.pixels import images

# How long the main thread may be silent between two batches, where a discriminant is solved.
_SILENT_SECONDS = 300.0
# A name that its reader is to replace.
_NAME = "my-classifier"


def advise(attempt: Attempt, plan: AdvicePlan) -> Advised:
    """Measure the candidates on the plan's images. Raises Cancelled, and what reading does."""
    reporter, resources = attempt.reporter, attempt.resources
    reporter.warn(plan.warnings)
    images = _Images(attempt, plan)

    def report(doing: Doing) -> None:
        images.done = doing.fraction
        reporter.overall(doing.phase, doing.fraction)
        reporter.quiet(_SILENT_SECONDS)

    def measured(found: Row | LeftOut) -> None:
        data = _left_out(found) if isinstance(found, LeftOut) else _row(found)
        reporter.found(_said(found), data.model_dump(mode="json"))

    advice = measure(
        images.judged,
        plan.seconds,
        device=resources.device,
        weights_dir=resources.weights_dir,
        report=report,
        measured=measured,
        should_stop=attempt.stop.is_set,
        compile_of=partial(compiling.of, attempt),
    )
    return Advised(_view(plan, advice))


class _Images:
    """The plan's images, decoded at one size at a time."""

    def __init__(self, attempt: Attempt, plan: AdvicePlan) -> None:
        self.done = 0.0
        self._attempt = attempt
        self._hashes = [image.sha256 for image in plan.images]
        self._decoded: tuple[int, Tensor] | None = None
        self.judged = JudgedImages(
            columns=torch.tensor([image.column for image in plan.images]),
            sizes=torch.tensor([image.size for image in plan.images]),
            held_out=torch.tensor([image.held_out for image in plan.images]),
            apart=plan.apart,
            groups=reading.numbered(image.group for image in plan.images),
            classes=len(plan.labels),
            small=plan.small,
            sent=plan.sent,
            pixels=self._pixels,
            pixel_rules=rules.CURRENT,
        )

    def _pixels(self, size: int) -> Tensor:
        if self._decoded is None or self._decoded[0] != size:
            self._decoded = None  # two sizes at once need too much memory
            to_pixels = partial(
                decode, size=size, limits=STORED, resize=Settings().resize, rules=rules.CURRENT
            )
            # Judged images are few: they are always in memory.
            room = images(self._attempt.resources.room, len(self._hashes), size, on_disk=False)
            reading.decode_each(self._attempt, self._hashes, to_pixels, room.write, self._report)
            self._decoded = size, room.tensor
        return self._decoded[1]

    def _report(self, _fraction: float) -> None:
        self._attempt.reporter.overall("preparing", self.done)


def _view(plan: AdvicePlan, advice: Advice) -> AdviceView:
    return AdviceView(
        classes=len(plan.labels),
        images=plan.sent,
        judged=len(plan.images),
        look_alikes=plan.look_alikes,
        rows=[_row(row) for row in advice.rows],
        left_out=[_left_out(left_out) for left_out in advice.left_out],
        recommendation=_recommendation(advice),
        warnings=[*plan.warnings, *advice.warnings],
    )


def _row(row: Row) -> AdviceRowView:
    fields = {name: value for name, value in vars(row).items() if name != "candidate"}
    forgets = "partly" if row.residual else "exactly"
    return AdviceRowView.model_validate({**vars(row.candidate), **fields, "forgets": forgets})


def _left_out(found: LeftOut) -> LeftOutCandidateView:
    return LeftOutCandidateView(**vars(found.candidate), reason=found.reason)


def _recommendation(advice: Advice) -> RecommendationView | None:
    if advice.recommendation is None:
        return None
    row, why = advice.recommendation
    return RecommendationView(row=row, why=why, classifier=_body(advice.rows[row].candidate))


def _body(candidate: Candidate) -> dict[str, str | int]:
    """Return the body of the request that makes a classifier of this candidate."""
    fields = {name: value for name, value in vars(candidate).items() if value is not None}
    return {"name": _NAME, **fields}


def _said(found: Row | LeftOut) -> str:
    named = found.candidate.named
    if isinstance(found, LeftOut):
        return f"{named} is left out: {found.reason}."
    if found.accuracy is None or found.standard_error is None:
        return f"{named}: nothing could be measured."
    error = f"{100 * found.standard_error:.1f}"
    return f"{named}: {100 * found.accuracy:.1f} % right (standard error {error})."
