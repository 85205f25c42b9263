"""What a version's held-out images tell: metrics, calibration, and what is known and what not."""

import copy
from typing import Any, NamedTuple

import torch
from torch import Tensor

from models import calibrated, evaluate, known, left_out
from models.calibrated import ERRORS, Curves
from models.calibration import calibrate
from models.classify import Output, Servable
from models.compute import Compute, to_device
from models.errors import diverged
from models.inference import Pause
from models.judging import Judged
from models.methods import Method
from models.spec import Spec
from models.state import State, Tensors, clone
from models.step import Remaining, Sample, StepData, Variant
from models.trunks import Compile, as_it_is

CPU = torch.device("cpu")


class Measured(NamedTuple):
    """What is found by held-out images: metrics, calibration, and what tells what is known.

    `curves` are those of `models.calibrated`, by name; `scores` those of `models.known`, by kind.
    `held_out` are the calibrated predictions of the held-out images, None without images;
    `left_out` is what is said of images that were trained on.
    """

    metrics: dict[str, Any]
    curves: Tensors
    scores: known.Scores
    held_out: Output | None
    left_out: Judged | None


def measure(
    spec: Spec,
    method: Method[Any],
    data: StepData | Remaining,
    compute: Compute,
    history: dict[str, Any] | None,
    pause: Pause,
    compile_trunk: Compile = as_it_is,
) -> Measured:
    """Measure a method, and calibrate each way to classify, by a pass over held-out images.

    `compile_trunk` makes what runs networks that no step changes.
    """
    pause()
    images, columns = data.held_out, data.held_out_columns
    tasks = method.network.head.tasks
    held_out, curves, with_task = None, None, None
    default = method.way("auto")

    def servable(task: int | None = None, classify: str = "auto") -> Servable:
        return to_device(method.servable(task, classify), compute.device)

    if len(images):
        ways = method.offered(method.state())
        modules = [servable(classify=way) for way in ways]
        predicted = evaluate.predict_all(
            modules,
            images,
            compute.device,
            pause,
            compile_trunk=compile_trunk if method.frozen else as_it_is,
        )
        outputs = dict(zip(ways, predicted, strict=True))
        if any(bool(output.log_scores.isnan().any()) for output in predicted):
            raise diverged("its scores are no longer finite")
        held_out = outputs[default]
        if method.needs.task_id:
            with_task = evaluate.predict_by_task(
                servable, images, columns, tasks, compute.device, pause
            )
        pause()
        by_task = not method.needs.old_classes
        curves = Curves.of(outputs, columns, tasks, with_task, by_task=by_task)
    pause()
    metrics = evaluate.measure(held_out, columns, tasks, history, with_task, data.held_out_groups)
    metrics |= dict.fromkeys(ERRORS) if curves is None else curves.errors(columns)
    calibrated_output = None if curves is None else curves.calibrated[default]
    left = method.left_out()
    if left is not None and curves is not None:
        left = left._replace(output=calibrate(left.output, curves.parts[default]))
    found, rests_on = calibrated_output, "held_out"
    if found is not None and data.held_out_groups is not None:
        rows = known.one_of_each(data.held_out_groups, spec.seed)
        found, columns = found.of(rows), columns[rows]
    # An image that is judged by others of its group is less strange than one of a new group is.
    stand_in = None if data.grouped else left
    if stand_in is not None and not known.promises(found, spec.false_alarms):
        found, columns, rests_on = stand_in.output, stand_in.columns, "left_out"
    metrics["unknown"] = known.measure(found, columns, spec.false_alarms, rests_on)
    metrics["report"] = method.report()
    metrics["leave_one_out"] = left_out.accuracy(
        metrics["report"], len(images), grouped=data.grouped
    )
    return Measured(
        metrics=metrics,
        curves={} if curves is None else curves.parts,
        scores={} if found is None else known.ascending(known.scores(found)),
        held_out=calibrated_output,
        left_out=None if left is None else left.judged(),
    )


def state_of(method: Method[Any], measured: Measured) -> State:
    """Return the method's state with what was found by held-out images, where there are some."""
    parts = {name: clone(part) for name, part in method.state().items()}
    if measured.scores:
        parts[known.PART] = dict(measured.scores)
    if measured.curves:
        parts[calibrated.PART] = measured.curves
    return State(parts, method.network.head.tasks)


def sample_of(method: Method[Any], curves: Tensors, image: Tensor) -> Sample:
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
