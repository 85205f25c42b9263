"""A learning step as a function: (version state, images, options, seed) → new state + metrics.

Forgetting is a function too: (version state, columns, held-out images) → new state + metrics.
"""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models import evaluate, known, matrices, methods, networks, version_warnings
from models.checkpoint import Checkpoint
from models.classify import Output, Servable
from models.compute import Compute, to_device
from models.errors import Cancelled, LearningError, diverged
from models.inference import Pause
from models.memory import ExemplarMemory
from models.methods import Method
from models.networks import Network, WeightsUnavailableError, WeightsUnfitError
from models.preprocess import Preprocess
from models.progress import Progress
from models.spec import Spec
from models.state import State, clone, load_into, on_device
from models.step import Remaining, Sample, Step, StepData, StepResult, Variant
from models.trainer import at_epoch_ends
from models.training import Training

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
    warn: Callable[[str], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    save: Callable[[Checkpoint], None] | None = None,
    save_due: Callable[[bool], bool] = at_epoch_ends,
    resume: Checkpoint | None = None,
) -> StepResult:
    """Learn new classes on top of `base` (None at the first step).

    `history` are the metrics of the base. `warn` is told at once that training failed and is tried
    once more, which the result's warnings say later in other words. `save` is called with a
    checkpoint when `save_due`, whose argument says whether an epoch ends, returns True (see
    `Trainer`). `resume` is a checkpoint to resume from: on the CPU, with the same number of
    threads, the result is the same to the bit as without interruption.

    Raises LearningError where the step cannot be done, Cancelled when `should_stop` returns True,
    CheckpointMismatchError where `resume` does not fit this training.
    """
    if not len(data.images):
        raise LearningError("no-training-images", "there is no image to train on")
    compute = Compute.on(device)
    pause_in = partial(_pause, report=report, should_stop=should_stop)

    def start() -> tuple[Method[Any], Step]:
        if base is None:
            method = _untaught(spec, data, compute.device, weights_dir)
        else:
            method = restore(spec, base, compute.device)
        step = Step(
            spec,
            data,
            method.network,
            method.preprocess,
            compute,
            lambda: _initial(spec, weights_dir)[0],
            pause_in(method.job_phase),
        )
        return method, step

    training = Training(
        start,
        report=report,
        warn=warn,
        should_stop=should_stop,
        save=save,
        save_due=save_due,
    )
    trained = training.run(resume)
    method, step = trained.method, trained.step
    step.pause()
    method.end(step)
    pause = pause_in("evaluating")
    metrics, held_out = _measure(
        spec, method, data.held_out, data.held_out_columns, compute, history, pause
    )
    metrics["training_accuracy"] = None if trained.fit is None else trained.fit.accuracy
    metrics["report"] |= trained.report()
    warnings = [
        *trained.warnings(metrics["accuracy"]),
        *version_warnings.of_accuracy(len(data.tasks), len(data.held_out)),
        *method.warnings(),
    ]
    image = (data.held_out if len(data.held_out) else data.images)[:1]
    return _result(method, held_out, step.memory, metrics, warnings, image)


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
    metrics, held_out = _measure(
        spec, method, data.held_out, data.held_out_columns, compute, history, pause
    )
    tasks = method.network.head.tasks
    warnings = [
        *version_warnings.of_forgetting(base.tasks, tasks),
        *version_warnings.of_accuracy(len(tasks), len(data.held_out)),
    ]
    return StepResult(
        metrics=metrics | {"warnings": warnings},
        state=_state(method, held_out),
        sample=_sample(method, data.held_out[:1] if len(data.held_out) else grey),
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


def _measure(
    spec: Spec,
    method: Method[Any],
    images: Tensor,
    columns: Tensor,
    compute: Compute,
    history: dict[str, Any] | None,
    pause: Pause,
) -> tuple[dict[str, Any], Output | None]:
    """Calibrate the method and return the metrics, from one pass over the held-out images.

    Each other way to classify that is calibrated takes a pass of its own. Also return the
    predictions as they are once calibrated, None without images.
    """
    pause()
    tasks = method.network.head.tasks
    held_out, calibrated, with_task = None, None, None

    def servable(task: int | None = None) -> Servable:
        return to_device(method.servable(task), compute.device)

    def predict(module: Servable) -> Output:
        return evaluate.predict(to_device(module, compute.device), images, compute.device, pause)

    if len(images):
        held_out = predict(servable())
        if bool(held_out.log_scores.isnan().any()):
            raise diverged("its scores are no longer finite")
        calibrated = method.calibrate(held_out, columns)
        method.calibrate_others(predict, columns)
        if method.needs.task_id:
            with_task = evaluate.predict_by_task(
                servable, images, columns, tasks, compute.device, pause
            )
    pause()
    metrics = evaluate.measure(held_out, columns, tasks, history, with_task)
    unknown = known.measure(calibrated, columns, spec.false_alarms)
    return {**metrics, "unknown": unknown, "report": method.report()}, calibrated


def _result(
    method: Method[Any],
    held_out: Output | None,
    memory: ExemplarMemory,
    metrics: dict[str, Any],
    warnings: list[str],
    image: Tensor,
) -> StepResult:
    state = _state(method, held_out)
    if not state.finite:
        raise diverged("its weights are no longer finite")
    sample = _sample(method, image)
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


def _state(method: Method[Any], held_out: Output | None) -> State:
    """Return the method's state with the scores of held-out images, where there are some."""
    parts = {name: clone(part) for name, part in method.state().items()}
    if held_out is not None and (scores := known.scores(held_out)):
        parts[known.PART] = known.ascending(scores)
    return State(parts, method.network.head.tasks)


def _sample(method: Method[Any], image: Tensor) -> Sample:
    """Return what the method predicts on the CPU for an image uint8 [1, 3, S, S]."""
    variants: list[Variant] = [(None, way) for way in method.offered(method.state())]
    if method.needs.task_id:
        variants += [(task, "auto") for task in dict.fromkeys(method.network.head.tasks)]

    def output(variant: Variant) -> Output:
        servable = method.servable(*variant)
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


def _untaught(
    spec: Spec, data: StepData, device: torch.device, weights_dir: Path | None
) -> Method[Any]:
    """Make the method as it is before its first step."""
    network, normalisation = _initial(spec, weights_dir)
    preprocess = (
        Preprocess.fitted(data.images, data.pixel_rules)
        if normalisation is None
        else Preprocess(*normalisation, data.pixel_rules)
    )
    return _method(spec, network, preprocess, device)


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
