"""The ways to classify of a version, calibrated: their curves as they are fitted, stored and used.

A version has a curve for each way to classify, and for each way within each task, named ``softmax``
and ``softmax.3``. Where a method learns a step without anything of old classes' images, the outputs
of different steps were never trained against each other: the curve of a way is then one for each
task that may be the answer; versions of older releases have one for all. With `?task=` the scores
of a method that needs no task are the calibrated ones of all classes restricted to the task's, and
calibrated once more.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from models.calibration import calibrate, cross_fitted, expected_calibration_error, fit_by_task
from models.classify import Output, Servable, restrict
from models.methods import Method
from models.state import Tensors

# The part of a version that has the curves.
PART = "calibration"
# The metrics that tell how good they are.
ERRORS = ("calibration_error", "task_aware_calibration_error")


class Calibrated(Servable):
    """Another module, with its scores calibrated by a curve [4], or one a column [C, 4]."""

    curve: Tensor

    def __init__(self, servable: Servable, curve: Tensor) -> None:
        super().__init__(servable.preprocess, servable.network)
        self.servable = servable
        self.register_buffer("curve", curve.float())

    def forward(self, images: Tensor) -> Output:
        """Return the scores of uint8 images [B, 3, S, S]."""
        return calibrate(self.servable(images), self.curve)


def bare(servable: Servable) -> Servable:
    """Return the module whose scores are calibrated, or the module itself if they are not."""
    while isinstance(servable, Calibrated):
        servable = servable.servable
    return servable


class Curves(NamedTuple):
    """The curves of a version by name, and the predictions that they were fitted to.

    `calibrated` are those of each way to classify. `default` and `within` are for measuring: those
    of the default way, and of it within the right task, each image's by curves that others were
    fitted to.
    """

    parts: Tensors
    calibrated: Mapping[str, Output]
    default: Output
    within: Output

    @classmethod
    def of(
        cls,
        outputs: Mapping[str, Output],
        columns: Tensor,
        tasks: Sequence[int],
        with_task: Output | None = None,
        *,
        by_task: bool = False,
    ) -> "Curves":
        """Fit all to predictions of images of classes `columns` [n], by way, the default first.

        `tasks` has the task of each column. `with_task` are the predictions with the task given,
        where they differ from the default's restricted to the task's columns. `by_task`: the
        answers of each task have a curve of their own.
        """
        parts, calibrated, within = {}, {}, {}
        task_of = columns.new_tensor(tasks)
        rivals = task_of[None, :] == task_of[columns][:, None]
        apart = task_of if by_task else torch.zeros_like(task_of)
        for way, output in outputs.items():
            parts[way] = fit_by_task(output, columns, apart)
            calibrated[way] = calibrate(output, parts[way])
            if with_task is None:
                restricted = Output(restrict(calibrated[way].log_scores, rivals))
                within[way] = _fit_tasks(parts, way, restricted, columns, task_of)
        default = next(iter(outputs))
        if with_task is not None:
            within[default] = _fit_tasks(parts, default, with_task, columns, task_of)
        crossed = cross_fitted(outputs[default], columns, apart)
        return cls(parts, calibrated, crossed, within[default])

    def errors(self, columns: Tensor) -> dict[str, Any]:
        """Return the expected calibration errors as metrics."""
        outputs = (self.default, self.within)
        found = [expected_calibration_error(each.log_scores, columns) for each in outputs]
        return dict(zip(ERRORS, found, strict=True))


def name(way: str, task: int | None = None) -> str:
    """Return the name of the curve of a way to classify, or of it within a task."""
    return way if task is None else f"{way}.{task}"


def servable(
    method: Method[Any], curves: Tensors, task: int | None = None, classify: str = "auto"
) -> Servable:
    """Return the method's module, calibrated where there is a curve: old versions have none.

    Raises ValueError as `Method.servable` does.
    """
    module = method.servable(task, classify)
    # Without a need for a task, a module is of all classes, whichever task is given.
    curve = curves.get(name(method.way(classify), task if method.needs.task_id else None))
    return module if curve is None else Calibrated(module, curve)


def _fit_tasks(
    parts: Tensors, way: str, within: Output, columns: Tensor, task_of: Tensor
) -> Output:
    """Add the curve of each task that has images to `parts`; return the predictions, cross-fitted.

    `within` are predictions within the right task, `task_of` has the task of each column.
    """
    log_scores = within.log_scores.clone()
    for task in task_of[columns].unique().tolist():
        own, block = task_of[columns] == task, task_of == task
        output = Output(within.log_scores[own][:, block])
        rows = (block.long().cumsum(dim=0) - 1)[columns[own]]
        parts[name(way, task)] = fit_by_task(output, rows, task_of[block])
        crossed = cross_fitted(output, rows, task_of[block])
        log_scores[own.nonzero(), block.nonzero().T] = crossed.log_scores
    return Output(log_scores)
