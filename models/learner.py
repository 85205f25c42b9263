"""A learning step as a function: (version state, images, options, seed) → new state + metrics."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models import methods, networks, version_warnings
from models.checkpoint import Checkpoint
from models.compute import Compute, to_device
from models.errors import Cancelled, LearningError, diverged
from models.fit import Fit
from models.inference import Pause
from models.measuring import CPU, Measured, measure, sample_of, state_of
from models.memory import ExemplarMemory
from models.methods import Method
from models.networks import Network, WeightsUnavailableError, WeightsUnfitError
from models.preprocess import Preprocess
from models.progress import Progress
from models.spec import Spec
from models.state import State, load_into, on_device
from models.step import Step, StepData, StepResult
from models.trainer import at_epoch_ends
from models.training import Training
from models.trunks import Compile, as_it_is


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
    compile_trunk: Compile = as_it_is,
) -> StepResult:
    """Learn new classes on top of `base` (None at the first step).

    `history` are the metrics of the base. `warn` is told at once that training failed and is tried
    once more, which the result's warnings say later in other words. `save` is called with a
    checkpoint when `save_due`, whose argument says whether an epoch ends, returns True (see
    `Trainer`). `resume` is a checkpoint to resume from: on the CPU, with the same number of
    threads, the result is the same to the bit as without interruption. `compile_trunk` makes what
    runs the trunk of a network that the method never changes.

    Raises LearningError where the step cannot be done, Cancelled when `should_stop` returns True,
    CheckpointMismatchError where `resume` does not fit this training.
    """
    if not len(data.images):
        raise LearningError("no-training-images", "there is no image to train on")
    compute = Compute.on(device)
    pause_in = partial(pause_between, report=report, should_stop=should_stop)

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
            compile_trunk,
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
    measured = measure(spec, method, data, compute, history, pause, compile_trunk)
    metrics = measured.metrics
    metrics["training_accuracy"] = None if trained.fit is None else trained.fit.accuracy
    metrics["training_measured_on"] = None if trained.fit is None else trained.fit.images
    metrics["report"] |= trained.report()
    warnings = [
        *trained.warnings(metrics["accuracy"]),
        *version_warnings.of_accuracy(
            len(data.tasks), len(data.held_out), metrics["leave_one_out"]
        ),
        *_held_out_warnings(trained.fit, data, metrics["accuracy"]),
        *method.warnings(),
    ]
    image = (data.held_out if len(data.held_out) else data.images)[:1]
    return _result(method, measured, step.memory, warnings, image)


def _held_out_warnings(fit: Fit | None, data: StepData, accuracy: float | None) -> list[str]:
    if accuracy is None:
        return []
    images, commonest = len(data.held_out), int(data.held_out_columns.bincount().max())
    found = Fit(accuracy, images, classes=len(data.tasks), chance=commonest / images)
    return version_warnings.of_held_out(fit, found)


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


def _result(
    method: Method[Any],
    measured: Measured,
    memory: ExemplarMemory,
    warnings: list[str],
    image: Tensor,
) -> StepResult:
    state = state_of(method, measured)
    if not state.finite:
        raise diverged("its weights are no longer finite")
    sample = sample_of(method, measured.curves, image)
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
        metrics=measured.metrics | {"warnings": warnings},
        warnings=warnings,
        held_out=measured.held_out,
        left_out=measured.left_out,
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
