"""Forgetting and correcting: a new version from a version and its state, without training.

Each is a function as a learning step is: (version state, what changes, held-out images) → new state
+ metrics.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from models import matrices, methods, version_warnings
from models.compute import Compute
from models.inference import Pause
from models.learner import pause_between, restore
from models.measuring import measure, sample_of, state_of
from models.methods import Method
from models.progress import Progress
from models.spec import Spec
from models.state import State
from models.step import Corrected, Remaining, Step, StepData, StepResult
from models.trunks import Compile, as_it_is


def forget(
    spec: Spec,
    base: State,
    columns: Sequence[int],
    data: Remaining,
    *,
    device: str = "auto",
    history: dict[str, Any] | None = None,
    report: Callable[[Progress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    compile_trunk: Compile = as_it_is,
) -> StepResult:
    """Remove columns of `base` and all that belongs to them alone, and measure what is left.

    Nothing is trained: all that belongs to other classes stays the same, to the bit. Without
    columns the result is the base, measured again. `history` are the metrics of the base. The
    result's warnings are about the remaining tasks only, since a method's are about learning.
    `compile_trunk` is as in `learn`.

    Raises LearningError where the method cannot forget the columns, Cancelled when `should_stop`
    returns True.
    """
    if columns:
        methods.get(spec.method).check_forget(base.tasks, columns)
    compute = Compute.on(device)
    method = restore(spec, base, compute.device)
    residual = method.forget(columns) if columns else []
    if history is not None:
        history = matrices.without_tasks(history, base.tasks, method.network.head.tasks)
    return _measured_again(
        spec,
        method,
        compute,
        data,
        history,
        pause_between("evaluating", report, should_stop),
        compile_trunk,
        kept=data.kept,
        residual=residual,
        warnings=version_warnings.of_forgetting(base.tasks, method.network.head.tasks),
    )


def correct(
    spec: Spec,
    base: State,
    corrected: Corrected,
    *,
    device: str = "auto",
    history: dict[str, Any] | None = None,
    report: Callable[[Progress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    compile_trunk: Compile = as_it_is,
) -> StepResult:
    """Give images of `base` other labels, or leave them out, and measure again.

    Nothing is trained. `history` are the metrics of the base, `compile_trunk` is as in `learn`.

    Raises LearningError where the method cannot correct an image, Cancelled when `should_stop`
    returns True.
    """
    compute = Compute.on(device)
    method = restore(spec, base, compute.device)
    pause_in = partial(pause_between, report=report, should_stop=should_stop)
    data = corrected.data
    step = Step(
        spec,
        data,
        method.network,
        method.preprocess,
        compute,
        lambda: method.network,
        pause_in(method.job_phase),
    )
    step.pause()
    residual = method.correct(step, corrected)
    if history is not None:
        history = matrices.not_comparable(history, base.tasks, corrected.remeasured)
    kept = step.memory.kept if corrected.edited else corrected.kept
    rankings = {
        column: step.memory.exemplars(column).tolist()
        for column in corrected.edited
        if kept[column]
    }
    return _measured_again(
        spec,
        method,
        compute,
        data,
        history,
        pause_in("evaluating"),
        compile_trunk,
        kept=kept,
        rankings=rankings,
        residual=residual,
    )


def _measured_again(
    spec: Spec,
    method: Method[Any],
    compute: Compute,
    data: Remaining | StepData,
    history: dict[str, Any] | None,
    pause: Pause,
    compile_trunk: Compile,
    *,
    kept: tuple[int, ...],
    residual: Sequence[str],
    rankings: dict[int, list[int]] | None = None,
    warnings: Sequence[str] = (),
) -> StepResult:
    """Calibrate and measure a method on the held-out images of `data`; return the new version."""
    held_out = data.held_out
    size, mean = spec.image_size, method.preprocess.mean
    # For a version without held-out images: the mean colour is like what it was trained on.
    grey = (mean * 255).to("cpu", torch.uint8).view(1, 3, 1, 1).repeat(1, 1, size, size)
    measured = measure(spec, method, data, compute, history, pause, compile_trunk)
    metrics = measured.metrics
    tasks = method.network.head.tasks
    warned = [
        *warnings,
        *version_warnings.of_accuracy(len(tasks), len(held_out), metrics["leave_one_out"]),
    ]
    return StepResult(
        metrics=metrics | {"warnings": warned},
        state=state_of(method, measured),
        sample=sample_of(method, measured.curves, held_out[:1] if len(held_out) else grey),
        rankings=rankings or {},
        kept=kept,
        warnings=warned,
        residual=tuple(residual),
        held_out=measured.held_out,
        left_out=measured.left_out,
    )
