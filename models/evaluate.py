"""Every metric of a version, from one pass over the held-out images."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from models.classify import Output, Servable
from models.inference import Pause, inference_batches, no_pause
from models.matrices import Row, average, backward_transfer, forgetting
from models.standard_errors import of_hits
from models.trunks import Compile, as_it_is, sharing


def predict(
    servable: Servable,
    images: Tensor,
    device: torch.device,
    pause: Pause = no_pause,
    *,
    whole: bool = False,
    positions: Tensor | None = None,
    compile_trunk: Compile = as_it_is,
) -> Output:
    """Return the output, on the CPU, for uint8 images [H, 3, S, S], at least one.

    `whole` and `positions` are as in `inference_batches`, `compile_trunk` as in `sharing`.
    """
    (output,) = predict_all(
        [servable],
        images,
        device,
        pause,
        whole=whole,
        positions=positions,
        compile_trunk=compile_trunk,
    )
    return output


def predict_all(
    servables: Sequence[Servable],
    images: Tensor,
    device: torch.device,
    pause: Pause = no_pause,
    *,
    whole: bool = False,
    positions: Tensor | None = None,
    compile_trunk: Compile = as_it_is,
) -> list[Output]:
    """Return what `predict` does for several modules, by one pass over the images.

    A network that several of them have runs once.
    """
    alone = len(servables) == 1 and compile_trunk is as_it_is
    modules = list(servables) if alone else sharing(servables, compile_trunk)
    outputs: list[list[Output]] = [[] for _ in modules]
    for module in modules:
        module.eval()
    with torch.inference_mode():
        for batch in inference_batches(images, device, pause, whole=whole, positions=positions):
            laid_out = batch.contiguous(memory_format=torch.channels_last)
            for module, made in zip(modules, outputs, strict=True):
                made.append(module(laid_out))
    return [_joined(made) for made in outputs]


def _joined(outputs: Sequence[Output]) -> Output:
    fields = (
        None if field[0] is None else torch.cat(field).cpu() for field in zip(*outputs, strict=True)
    )
    return Output(*fields)  # type: ignore[arg-type]


def predict_by_task(
    servable: Callable[[int], Servable],
    images: Tensor,
    columns: Tensor,
    tasks: Sequence[int],
    device: torch.device,
    pause: Pause = no_pause,
) -> Output:
    """Return the output for uint8 images [H, 3, S, S], each predicted within its own task.

    `servable` makes the module of a task, `columns` [H] are the images' classes and `tasks` has the
    task of each column.
    """
    task_of = torch.tensor(tasks)[columns]
    log_scores = torch.empty(len(images), len(tasks))
    for task in task_of.unique().tolist():
        own = (task_of == task).nonzero().flatten()
        output = predict(servable(task), images, device, pause, positions=own)
        log_scores[own] = output.log_scores
    return Output(log_scores)


def measure(
    output: Output | None,
    columns: Tensor,
    tasks: Sequence[int],
    history: dict[str, Any] | None,
    with_task: Output | None = None,
    groups: Tensor | None = None,
) -> dict[str, Any]:
    """Return the metrics of a version.

    `output` are the predictions of the held-out images (None without images), `columns` [H] their
    classes, `tasks` the task of each column and `history` the parent's metrics. `with_task` are the
    predictions with the task given, where they differ from `output` restricted to the task's
    columns. `groups` [H] number the images' groups, if they have some: standard errors are then
    robust to images of a group not being independent. Lists `per_class…` are ordered by column. The
    learner adds `report`, `leave_one_out`, `training_accuracy` and `warnings`.
    """
    before = history or {"matrix": [], "task_aware_matrix": [], "accuracies": []}
    known = sorted(set(tasks))
    task_of = torch.tensor(tasks)
    if output is None:
        right = within = torch.zeros(0, dtype=torch.bool)
    else:
        right = output.log_scores.argmax(dim=1) == columns
        # With the task given, only its own columns compete.
        rivals = task_of[None, :] == task_of[columns][:, None]
        given = (output if with_task is None else with_task).log_scores
        within = given.masked_fill(~rivals, -torch.inf).argmax(dim=1) == columns
    routed = output.tasks if output is not None else None

    def error(hits: Tensor) -> float | None:
        return of_hits(hits, groups)

    def by_task(hits: Tensor) -> Row:
        return [_mean(hits[task_of[columns] == task]) for task in known]

    matrix = [*before["matrix"], by_task(right)]
    aware = [*before["task_aware_matrix"], by_task(within)]
    accuracies = [*before["accuracies"], _mean(right)]
    kind = "binomial" if groups is None else "cluster_robust"
    routed_right = None if routed is None else routed == task_of[columns]
    of_class = [columns == column for column in range(len(tasks))]
    return {
        "accuracy": accuracies[-1],
        "standard_error": error(right),
        "standard_error_kind": kind if len(columns) else None,
        "average_incremental_accuracy": average(accuracies),
        "forgetting": forgetting(matrix),
        "backward_transfer": backward_transfer(matrix),
        "matrix": matrix,
        "measured_on": len(columns),
        "measured_on_groups": None if groups is None else len(groups.unique()),
        "task_aware_accuracy": _mean(within),
        "task_aware_standard_error": error(within),
        "task_aware_matrix": aware,
        "router_accuracy": None if routed_right is None else _mean(routed_right),
        "router_standard_error": None if routed_right is None else error(routed_right),
        "per_class": [_mean(right[own]) for own in of_class],
        "per_class_measured_on": [int(own.sum()) for own in of_class],
        "per_class_standard_error": [
            of_hits(right[own], None if groups is None else groups[own]) for own in of_class
        ],
        "accuracies": accuracies,
    }


def _mean(hits: Tensor) -> float | None:
    return float(hits.double().mean()) if len(hits) else None
