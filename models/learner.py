"""A learning step as a function: (version state, images, options, seed) → new state + metrics."""

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models import evaluate, fit, known, left_out, methods, networks, version_warnings
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
from models.state import State, clone, load_into, on_device
from models.step import Sample, Step, StepData, StepResult, Variant
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

    pause_in = partial(pause_between, report=report, should_stop=should_stop)
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
    metrics, held_out = measure(
        spec,
        method,
        data.held_out,
        data.held_out_columns,
        compute,
        history,
        pause,
        data.held_out_groups,
    )
    metrics["leave_one_out"] = left_out.accuracy(
        metrics["report"], len(data.held_out), grouped=data.grouped
    )
    metrics["training_accuracy"] = None if fitted is None else fitted.accuracy
    metrics["training_measured_on"] = None if fitted is None else fitted.images
    warnings = [
        *version_warnings.of_training(steps, fitted, metrics["accuracy"]),
        *version_warnings.of_accuracy(
            len(data.tasks), len(data.held_out), metrics["leave_one_out"]
        ),
        *method.warnings(),
    ]
    image = (data.held_out if len(data.held_out) else data.images)[:1]
    return _result(method, held_out, step.memory, metrics, warnings, image)


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


def pause_between(
    job_phase: str, report: Callable[[Progress], None], should_stop: Callable[[], bool]
) -> Pause:
    """Return what long work of a job phase calls between its parts."""

    def pause(done: float = 0.0) -> None:
        if should_stop():
            raise Cancelled
        report(Progress(job_phase, done))

    return pause


def measure(
    spec: Spec,
    method: Method[Any],
    images: Tensor,
    columns: Tensor,
    compute: Compute,
    history: dict[str, Any] | None,
    pause: Pause,
    groups: Tensor | None,
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
    metrics = evaluate.measure(held_out, columns, tasks, history, with_task, groups)
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
    state = state_of(method, held_out)
    if not state.finite:
        raise diverged("its weights are no longer finite")
    sample = sample_of(method, image)
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
        held_out=held_out,
        left_out=method.left_out(),
    )


def state_of(method: Method[Any], held_out: Output | None) -> State:
    """Return the method's state with the scores of held-out images, where there are some."""
    parts = {name: clone(part) for name, part in method.state().items()}
    if held_out is not None and (scores := known.scores(held_out)):
        parts[known.PART] = known.ascending(scores)
    return State(parts, method.network.head.tasks)


def sample_of(method: Method[Any], image: Tensor) -> Sample:
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
