"""Trying a method that trains: two tasks on a part of the images, within the time there is."""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from models.advice.candidates import Candidate
from models.advice.images import JudgedImages
from models.advice.rows import Row
from models.advice.trials import TimeUpError, Trials
from models.progress import Progress
from models.spec import Budget, Spec
from models.step import StepResult

# Images, and passes over them, that tell how fast this machine trains.
_PROBE = 64
_PROBE_EPOCHS = 2
# The second task has a teacher and exemplars, and measuring and herding take time as well.
_SLOWER = 3.0
# With fewer epochs, training from random weights says nothing of the method.
_FEWEST_EPOCHS = 15
# Nor does it with fewer images of each class, on average.
_FEWEST_IMAGES = 8
# With fewer classes a task would have a single one, which is nothing to tell apart.
_CLASSES_OF_TWO_TASKS = 4


class Extent(NamedTuple):
    """How much of a training there is time for."""

    images: int
    epochs: int

    def cut(self, images: int, epochs: int) -> str | None:
        """Say how much less it is than all of it, None where it is all."""
        if self == (images, epochs):
            return None
        return (
            f"the time was enough for {self.images} of {images} images "
            f"and {self.epochs} of {epochs} epochs"
        )


def extent(affordable: float, images: int, epochs: int, classes: int) -> Extent:
    """Return how many of the images to train on, for how many epochs.

    `affordable` counts images times epochs. The epochs are fewer first, then the images. Raises
    TimeUpError where too few would be left.
    """
    if affordable >= images * epochs:
        return Extent(images, epochs)
    fewest = min(_FEWEST_EPOCHS, epochs)
    fitting = int(affordable / images)
    found = (
        Extent(images, fitting) if fitting >= fewest else Extent(int(affordable / fewest), fewest)
    )
    if found.images < _FEWEST_IMAGES * classes:
        raise TimeUpError("the time is too short to train on enough images")
    return found


def evenly(columns: Tensor, count: int, classes: int) -> Tensor:
    """Return the positions of at most `count` of the images of classes `columns`, evenly by class.

    Classes with fewer images than their share leave the rest to others. Each class keeps one image.
    """
    of_class = [(columns == column).nonzero().flatten() for column in range(classes)]
    order = torch.cat([torch.arange(len(own)) for own in of_class])
    positions = torch.cat(of_class)
    # Everybody's first image, then everybody's second, and so on.
    turns = order.argsort(stable=True)
    return positions[turns[: max(count, classes)]].sort().values


def try_training(
    trials: Trials, candidate: Candidate, report: Callable[[float], None], until: float
) -> Row:
    """Train on the images not held out, and measure on the others.

    `report` takes the fraction done. Raises as `Trials.learn` does.
    """
    images, whole = trials.images, candidate.spec()
    pixels = images.pixels(candidate.image_size)
    positions = torch.arange(len(images.columns))
    train, held_out = positions[~images.held_out], positions[images.held_out]
    begun = trials.clock()
    affordable = _affordable(trials, candidate, pixels, train, until)
    epochs: int = whole.options["epochs"]
    part = extent(affordable, len(train), epochs, images.classes)
    train = train[evenly(images.columns[train], part.images, images.classes)]
    # Exemplars are as rare among these images as they would be among all.
    exemplars = max(images.classes, round(_exemplars(whole) * len(train) / images.sent))
    spec = candidate.spec(
        options={"epochs": part.epochs}, memory=Budget(exemplars=exemplars).model_dump()
    )
    result = _in_tasks(trials, spec, pixels, train, held_out, report, until)
    row = Row(
        candidate,
        accuracy=result.metrics["accuracy"],
        measured_on=len(held_out),
        measured="held_out",
        trained_on=len(train),
        seconds=trials.clock() - begun,
        forgetting=result.metrics["forgetting"],
        cut=part.cut(int((~images.held_out).sum()), epochs),
    )
    return trials.completed(
        row, spec, result, held_out, pixels[:1], _exemplar_bytes(images, _exemplars(whole))
    )


def _affordable(
    trials: Trials, candidate: Candidate, pixels: Tensor, train: Tensor, until: float
) -> float:
    """Return for how many images times epochs there is time.

    Two short trainings tell: what the longer one takes more is training alone.
    """
    images = trials.images
    few = train[evenly(images.columns[train], _PROBE, images.classes)]
    step = images.step(pixels, few, few[:0], (0,) * images.classes)

    def seconds(epochs: int) -> float:
        begun = trials.clock()
        trials.learn(candidate.spec(options={"epochs": epochs}), None, step, until=until)
        return trials.clock() - begun

    shorter, longer = seconds(1), seconds(1 + _PROBE_EPOCHS)
    # On a busy machine the shorter one may take longer.
    pace = max(longer - shorter, longer / 10) / (_PROBE_EPOCHS * len(few))
    return max(until - trials.clock(), 0.0) / (pace * _SLOWER) if pace else math.inf


def _in_tasks(
    trials: Trials,
    spec: Spec,
    pixels: Tensor,
    train: Tensor,
    held_out: Tensor,
    report: Callable[[float], None],
    until: float,
) -> StepResult:
    """Learn half of the classes, then the others beside exemplars; few classes all at once."""
    images = trials.images
    first = images.classes // 2 if images.classes >= _CLASSES_OF_TWO_TASKS else images.classes
    tasks = [int(column >= first) for column in range(images.classes)]
    of_train = images.columns[train] >= first
    result: StepResult | None = None
    # By column, the positions of the exemplars in the order of their ranking.
    kept: list[Tensor] = []
    for task in range(tasks[-1] + 1):
        new = train[of_train == bool(task)]
        measured = held_out if task == tasks[-1] else held_out[images.columns[held_out] < first]
        old = torch.cat(kept) if kept else new[:0]
        known = tuple(of for of in tasks if of <= task)
        step = images.step(pixels, new, measured, known, old)
        here = partial(_overall, report, task, tasks[-1] + 1)
        result = trials.learn(spec, result, step, here, until)
        trained_on = torch.cat([old, new])
        kept = [
            trained_on[result.rankings[column]][:count]
            if column in result.rankings
            else kept[column][:count]
            for column, count in enumerate(result.kept)
        ]
    assert result is not None  # noqa: S101 - there is a task
    return result


def _overall(report: Callable[[float], None], task: int, tasks: int, progress: Progress) -> None:
    done = progress.fraction if progress.phase == "training" else 1.0
    report((task + done) / tasks)


def _exemplars(spec: Spec) -> int:
    assert spec.memory.exemplars is not None  # noqa: S101 - the default budget counts images
    return spec.memory.exemplars


def _exemplar_bytes(images: JudgedImages, exemplars: int) -> float:
    """Return the bytes of the exemplars that a classifier with all images would keep of a class."""
    kept = min(exemplars / images.classes, images.sent / images.classes)
    return kept * float(images.sizes.double().mean())
