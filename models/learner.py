"""A learning step as a function: (version state, images, options, seed) → new state + metrics.

Forgetting is a function too: (version state, columns, held-out images) → new state + metrics.
"""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from models import calibrated, evaluate, fit, known, matrices, methods, networks, version_warnings
from models.calibrated import ERRORS, Curves
from models.calibration import calibrate
from models.checkpoint import Checkpoint
from models.classify import Output, Servable
from models.compute import Compute, to_device
from models.errors import Cancelled, LearningError, diverged
from models.inference import Pause
from models.memory import ExemplarMemory
from models.methods import Method
from models.networks import Network, WeightsUnavailableError, WeightsUnfitError
from models.preprocess import Preprocess
from models.spec import Spec
from models.state import State, Tensors, clone, load_into, on_device
from models.step import Remaining, Sample, Step, StepData, StepResult, Variant
from models.trainer import Progress, Trainer, at_epoch_ends

CPU = torch.device("cpu")


def learn(
    spec: Spec,
    base: State | None,
    data: StepData,
    *,
    device: str = "auto",
    history: dict[str, Any] | None = None,
    weights_dir: Path | None = None,
    report: Callable[[Progress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    save: Callable[[Checkpoint], None] | None = None,
    save_due: Callable[[bool], bool] = at_epoch_ends,
    resume: Checkpoint | None = None,
) -> StepResult:
    """Learn new classes on top of `base` (None at the first step).

    `history` are the metrics of the base. `save` is called with a checkpoint when `save_due`, whose
    argument says whether an epoch ends, returns True (see `Trainer`). `resume` is a checkpoint to
    resume from: on the CPU, with the same number of threads, the result is the same to the bit as
    without interruption.

    Raises LearningError where the step cannot be done, Cancelled when `should_stop` returns True,
    CheckpointMismatchError where `resume` does not fit this training.
    """
    if not len(data.images):
        raise LearningError("no-training-images", "there is no image to train on")
    compute = Compute.on(device)
    if base is None:
        network, normalisation = _initial(spec, weights_dir)
        preprocess = (
            Preprocess.fitted(data.images, data.pixel_rules)
            if normalisation is None
            else Preprocess(*normalisation, data.pixel_rules)
        )
        method = _method(spec, network, preprocess, compute.device)
    else:
        method = restore(spec, base, compute.device)

    pause_in = partial(_pause, report=report, should_stop=should_stop)
    step = Step(
        spec,
        data,
        method.network,
        method.preprocess,
        compute,
        lambda: _initial(spec, weights_dir)[0],
        pause_in(method.job_phase),
    )
    trainer = Trainer(
        method, step, report=report, should_stop=should_stop, save=save, save_due=save_due
    )
    steps = trainer.run(resume)
    step.pause()
    # Some methods train nothing.
    fitted = fit.measure(method, step) if steps else None
    method.end(step)
    pause = pause_in("evaluating")
    metrics, judged = _measure(
        spec, method, data.held_out, data.held_out_columns, compute, history, pause
    )
    metrics["training_accuracy"] = None if fitted is None else fitted.accuracy
    warnings = [
        *version_warnings.of_training(steps, fitted, metrics["accuracy"]),
        *version_warnings.of_accuracy(len(data.tasks), len(data.held_out)),
        *method.warnings(),
    ]
    image = (data.held_out if len(data.held_out) else data.images)[:1]
    return _result(method, judged, step.memory, metrics, warnings, image)


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
) -> StepResult:
    """Remove columns of `base` and all that belongs to them alone, and measure what is left.

    Nothing is trained: all that belongs to other classes stays the same, to the bit. Without
    columns the result is the base, measured again. `history` are the metrics of the base. The
    result's warnings are about the remaining tasks only, since a method's are about learning.

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
    pause = _pause("evaluating", report, should_stop)
    size, mean = spec.image_size, method.preprocess.mean
    # For a version without held-out images: the mean colour is like what it was trained on.
    grey = (mean * 255).to("cpu", torch.uint8).view(1, 3, 1, 1).repeat(1, 1, size, size)
    metrics, judged = _measure(
        spec, method, data.held_out, data.held_out_columns, compute, history, pause
    )
    tasks = method.network.head.tasks
    warnings = [
        *version_warnings.of_forgetting(base.tasks, tasks),
        *version_warnings.of_accuracy(len(tasks), len(data.held_out)),
    ]
    return StepResult(
        metrics=metrics | {"warnings": warnings},
        state=_state(method, judged),
        sample=_sample(method, judged.curves, data.held_out[:1] if len(data.held_out) else grey),
        rankings={},
        kept=data.kept,
        warnings=warnings,
        residual=tuple(residual),
    )


def restore(spec: Spec, state: State, device: torch.device = CPU) -> Method[Any]:
    """Rebuild the method of a version from its state, on a device and in eval mode."""
    network = _prepared(spec, networks.build(spec.backbone, spec.seed))
    for task in dict.fromkeys(state.tasks):
        network.head.grow(task, state.tasks.count(task), spec.seed)
        load_into(network.head.blocks[str(task)], state.parts[f"head.{task}"])
    load_into(network.backbone, state.parts["backbone"])
    preprocess = Preprocess.from_state(state.parts["preprocess"])
    method = _method(spec, network.eval(), preprocess, device)
    method.load(on_device(state.parts, device))
    return method


def _pause(
    job_phase: str, report: Callable[[Progress], None], should_stop: Callable[[], bool]
) -> Pause:
    def pause(done: float = 0.0) -> None:
        if should_stop():
            raise Cancelled
        report(Progress(job_phase, done))

    return pause


class _Judged(NamedTuple):
    """What is found by held-out images: calibration, and the scores that tell what is known.

    `curves` are those of `models.calibrated`, by name; `scores` by kind.
    """

    curves: Tensors
    scores: known.Scores


def _measure(
    spec: Spec,
    method: Method[Any],
    images: Tensor,
    columns: Tensor,
    compute: Compute,
    history: dict[str, Any] | None,
    pause: Pause,
) -> tuple[dict[str, Any], _Judged]:
    """Return the metrics, and calibrate each way to classify, by a pass over held-out images."""
    pause()
    tasks = method.network.head.tasks
    held_out, curves, with_task = None, None, None
    default = method.way("auto")

    def servable(task: int | None = None, classify: str = "auto") -> Servable:
        return to_device(method.servable(task, classify), compute.device)

    if len(images):
        outputs = {}
        for way in method.offered(method.state()):
            outputs[way] = evaluate.predict(servable(classify=way), images, compute.device, pause)
            if bool(outputs[way].log_scores.isnan().any()):
                raise diverged("its scores are no longer finite")
        held_out = outputs[default]
        if method.needs.task_id:
            with_task = evaluate.predict_by_task(
                servable, images, columns, tasks, compute.device, pause
            )
        pause()
        curves = Curves.of(outputs, columns, tasks, with_task)
    pause()
    metrics = evaluate.measure(held_out, columns, tasks, history, with_task)
    metrics |= dict.fromkeys(ERRORS) if curves is None else curves.errors(columns)
    found = None if curves is None else curves.calibrated[default]
    rests_on = "held_out"
    if not known.promises(found, spec.false_alarms) and (left := method.left_out()) is not None:
        rests_on, (found, columns) = "left_out", left
        if curves is not None:
            found = calibrate(found, curves.parts[default])
    metrics["unknown"] = known.measure(found, columns, spec.false_alarms, rests_on)
    metrics["report"] = method.report()
    scores = {} if found is None else known.ascending(known.scores(found))
    return metrics, _Judged({} if curves is None else curves.parts, scores)


def _result(
    method: Method[Any],
    judged: _Judged,
    memory: ExemplarMemory,
    metrics: dict[str, Any],
    warnings: list[str],
    image: Tensor,
) -> StepResult:
    state = _state(method, judged)
    if not state.finite:
        raise diverged("its weights are no longer finite")
    sample = _sample(method, judged.curves, image)
    if any(bool(scores.isnan().any()) for scores in sample.log_scores.values()):
        raise diverged("its scores are no longer finite")
    return StepResult(
        state=state,
        sample=sample,
        rankings={
            column: memory.exemplars(column).tolist()
            for column, kept in enumerate(memory.kept)
            if memory.changed[column] and kept
        },
        kept=memory.kept,
        metrics=metrics | {"warnings": warnings},
        warnings=warnings,
    )


def _state(method: Method[Any], judged: _Judged) -> State:
    """Return the method's state with what was found by held-out images, where there are some."""
    parts = {name: clone(part) for name, part in method.state().items()}
    if judged.scores:
        parts[known.PART] = dict(judged.scores)
    if judged.curves:
        parts[calibrated.PART] = judged.curves
    return State(parts, method.network.head.tasks)


def _sample(method: Method[Any], curves: Tensors, image: Tensor) -> Sample:
    """Return what the method predicts on the CPU for an image uint8 [1, 3, S, S]."""
    variants: list[Variant] = [(None, way) for way in method.offered(method.state())]
    if method.needs.task_id:
        variants += [(task, "auto") for task in dict.fromkeys(method.network.head.tasks)]

    def output(variant: Variant) -> Output:
        servable = calibrated.servable(method, curves, *variant)
        if method.preprocess.mean.device != CPU:
            # A copy: methods mix the tensors of their modules with others on the device.
            servable = copy.deepcopy(servable)
        return evaluate.predict(to_device(servable, CPU), image, CPU)

    outputs = {variant: output(variant) for variant in variants}
    return Sample(
        image,
        {variant: found.log_scores for variant, found in outputs.items()},
        {
            variant: found.deviations
            for variant, found in outputs.items()
            if found.deviations is not None
        },
    )


def _initial(spec: Spec, weights_dir: Path | None) -> tuple[Network, tuple[Tensor, Tensor] | None]:
    """Return the network, and the mean and deviation that pretrained weights were trained with."""
    network = networks.build(spec.backbone, spec.seed)
    if spec.weights is None:
        return _prepared(spec, network), None
    try:
        mean, std = networks.pretrained(network, spec.backbone, spec.weights, weights_dir)
    except WeightsUnavailableError as error:
        raise LearningError("weights-unavailable", str(error)) from error
    except WeightsUnfitError as error:
        raise LearningError("weights-unfit", str(error)) from error
    return _prepared(spec, network), (mean, std)


def _prepared(spec: Spec, network: Network) -> Network:
    return methods.get(spec.method).prepare(spec, network)


def _method(
    spec: Spec, network: Network, preprocess: Preprocess, device: torch.device
) -> Method[Any]:
    """Make the method on a device: see `models.methods.base` for who moves tensors."""
    kind = methods.get(spec.method)
    options = kind.Options.model_validate(spec.options)
    return kind(options, to_device(network, device), preprocess.to(device))
