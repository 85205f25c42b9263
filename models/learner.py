"""A learning step as a function: (version state, images, options, seed) → new state + metrics.

Forgetting is one as well: (version state, columns, held-out images) → new state + metrics.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from models import evaluate, matrices, methods, networks
from models.checkpoint import Checkpoint, CheckpointMismatchError
from models.chunks import Pause
from models.classify import Servable
from models.compute import Compute
from models.errors import Cancelled, InvalidSpecError, LearningError, diverged
from models.methods import Method
from models.networks import Network, WeightsUnavailableError, WeightsUnfitError
from models.preprocess import Preprocess
from models.spec import Spec
from models.state import State, clone
from models.step import Remaining, Step, StepData, StepResult
from models.trainer import Progress, Trainer, at_epoch_ends

__all__ = [
    "Cancelled",
    "Checkpoint",
    "CheckpointMismatchError",
    "InvalidSpecError",
    "LearningError",
    "Progress",
    "Remaining",
    "StepData",
    "StepResult",
    "forget",
    "learn",
    "restore",
]

# Under this many optimiser steps hardly anything is learnt, whatever the number of epochs.
FEW_STEPS = 50


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

    `history` are the metrics of the base. `save` is given a checkpoint when `save_due` says so (it
    is told whether an epoch ends; see `Trainer`) and `resume` goes on from one: on the CPU, with
    the same number of threads, the result is the same to the bit as without interruption.

    Raises LearningError where the step cannot be done, Cancelled when `should_stop` says so,
    CheckpointMismatchError where `resume` is of another training.
    """
    if not len(data.images):
        raise LearningError("no-training-images", "there is no image to train on")
    compute = Compute.on(device)

    def initial_network() -> Network:
        return _initial(spec, weights_dir)[0]

    if base is None:
        network, preprocess = _initial(spec, weights_dir)
        preprocess = preprocess or Preprocess.fitted(data.images)
        method = _method(spec, network, preprocess)
    else:
        method = restore(spec, base)
    compute.place(method.network)
    method.preprocess.to(compute.device)

    def pause_in(phase: str) -> Pause:
        return _pause(phase, report, should_stop)

    step = Step(
        spec,
        data,
        method.network,
        method.preprocess,
        compute,
        initial_network,
        pause_in("selecting_exemplars"),
    )
    trainer = Trainer(
        method, step, report=report, should_stop=should_stop, save=save, save_due=save_due
    )
    steps = trainer.run(resume)

    step.pause()
    method.end(step)
    metrics = _measure(
        method, data.held_out, data.held_out_columns, compute, history, pause_in("evaluating")
    )

    state = _state(method)
    if not state.finite:
        raise diverged("its weights are no longer finite")
    memory = step.memory
    return StepResult(
        state=state,
        rankings={
            column: memory.exemplars(column).tolist()
            for column in range(len(data.tasks))
            if memory.changed[column] and memory.kept[column]
        },
        kept=memory.kept,
        metrics=metrics,
        warnings=[*_warnings(steps), *method.warnings()],
    )


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
    """Remove columns of `base` and all that is theirs alone, and measure what is left.

    Nothing is trained: what the other classes have is the same, to the bit. Without a column the
    result is the base, measured again. `history` are the metrics of the base; `residual` of the
    result names what stays of the images of the classes forgotten. Its warnings are of what is
    left; those of the method are about learning. Raises LearningError where the method cannot
    forget them, Cancelled when `should_stop` says so.
    """
    if columns:
        methods.get(spec.method).check_forget(base.tasks, columns)
    compute = Compute.on(device)
    method = restore(spec, base)
    residual = method.forget(columns) if columns else []
    compute.place(method.network)
    method.preprocess.to(compute.device)
    if history is not None:
        history = matrices.without_tasks(history, base.tasks, method.network.head.tasks)
    pause = _pause("evaluating", report, should_stop)
    return StepResult(
        metrics=_measure(method, data.held_out, data.held_out_columns, compute, history, pause),
        state=_state(method),
        rankings={},
        kept=data.kept,
        warnings=_left_alone(base.tasks, method.network.head.tasks),
        residual=tuple(residual),
    )


def restore(spec: Spec, state: State) -> Method[Any]:
    """Rebuild the method of a version from its state, on the CPU and in eval mode."""
    network = networks.build(spec.backbone, spec.seed)
    for task in dict.fromkeys(state.tasks):
        network.head.grow(task, state.tasks.count(task), spec.seed)
        network.head.blocks[str(task)].load_state_dict(state.parts[f"head.{task}"])
    network.backbone.load_state_dict(state.parts["backbone"])
    preprocess = Preprocess.from_state(state.parts["preprocess"])
    method = _method(spec, network.eval(), preprocess)
    method.load(dict(state.parts))
    return method


def _pause(
    phase: str, report: Callable[[Progress], None], should_stop: Callable[[], bool]
) -> Pause:
    def pause() -> None:
        if should_stop():
            raise Cancelled
        report(Progress(phase))

    return pause


def _measure(
    method: Method[Any],
    images: Tensor,
    columns: Tensor,
    compute: Compute,
    history: dict[str, Any] | None,
    pause: Pause,
) -> dict[str, Any]:
    """Calibrate the method and return its metrics, by one pass over the held-out images."""
    pause()
    tasks = method.network.head.tasks
    held_out, with_task = None, None

    def servable(task: int | None = None) -> Servable:
        return compute.place(method.servable(task))

    if len(images):
        held_out = evaluate.predict(servable(), images, compute.device, pause)
        method.calibrate(held_out, columns)
        if method.needs.task_id:
            with_task = evaluate.predict_by_task(
                servable, images, columns, tasks, compute.device, pause
            )
    pause()
    metrics = evaluate.measure(held_out, columns, tasks, history, with_task)
    return {**metrics, "report": method.report()}


def _state(method: Method[Any]) -> State:
    parts = {name: clone(part) for name, part in method.state().items()}
    return State(parts, method.network.head.tasks)


def _initial(spec: Spec, weights_dir: Path | None) -> tuple[Network, Preprocess | None]:
    network = networks.build(spec.backbone, spec.seed)
    if spec.weights is None:
        return network, None
    try:
        mean, std = networks.pretrained(network, spec.backbone, spec.weights, weights_dir)
    except WeightsUnavailableError as error:
        raise LearningError("weights-unavailable", str(error)) from error
    except WeightsUnfitError as error:
        raise LearningError("weights-unfit", str(error)) from error
    return network, Preprocess(mean, std)


def _method(spec: Spec, network: Network, preprocess: Preprocess) -> Method[Any]:
    kind = methods.get(spec.method)
    return kind(kind.Options.model_validate(spec.options), network, preprocess)


def _left_alone(before: Sequence[int], after: Sequence[int]) -> list[str]:
    """Tell of tasks that have a single class now; `before` and `after` have each column's task."""
    return [
        f"task {task} has a single class left: with the task given, that is always the answer"
        for task in dict.fromkeys(after)
        if after.count(task) == 1 < before.count(task)
    ]


def _warnings(steps: int) -> list[str]:
    if steps >= FEW_STEPS:
        return []
    return [
        f"training took only {steps} steps, too few to learn much: give more images, more epochs "
        "or a smaller batch_size"
    ]
