"""Preflight checks of a learning step: whether it must fail, and what its accuracy will lack.

The training process makes them, not the plan, since what a method needs is known where PyTorch is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from app.services.labels import named
from app.services.steps.plans import LearnPlan
from models import methods
from models.errors import LearningError
from models.memory import trim
from models.spec import Spec

# At most this many classes are named in a message.
_LABELS = 20


def without_learnt(plan: LearnPlan, spec: Spec) -> LearnPlan:
    """Return the plan without images that a method which learns each once has learnt already.

    Raises LearningError where no other is left.
    """
    if not methods.needs(spec.method).once:
        return plan
    fresh = tuple(image for image in plan.fresh if not image.again)
    if not fresh:
        raise LearningError(
            "no-training-images", "every image has been learnt already: send new images"
        )
    return replace(plan, fresh=fresh)


def check_memory(plan: LearnPlan, spec: Spec, sizes: Sequence[int]) -> None:
    """Raise LearningError where the memory budget is sure to leave a class without exemplars.

    `sizes` are the bytes of the new images, in the plan's order, as exemplars of them are stored.
    """
    if not methods.needs(spec.method).exemplars:
        return
    firsts = _firsts(plan, sizes)
    kept = trim([torch.tensor(sizes) for sizes in firsts], spec.memory)
    left_out = [
        planned.label
        for planned, sizes, images in zip(plan.classes, firsts, kept, strict=True)
        if sizes and not images
    ]
    if left_out:
        unit, budget = _budget(spec)
        raise LearningError(
            "memory-too-small",
            f"memory.{unit} of {budget:g}, shared by {len(plan.classes)} classes, leaves no room "
            f"for an image of {named(left_out, _LABELS)}",
        )


def warnings(plan: LearnPlan) -> list[str]:
    """Return what the accuracy of the classes that get images in this step will suffer from."""
    shortages = [(what, labels) for what, labels in _shortages(plan) if labels]
    return [*plan.warnings, *(f"{what}: {named(labels, _LABELS)}" for what, labels in shortages)]


def _shortages(plan: LearnPlan) -> Iterator[tuple[str, list[str]]]:
    taught = [plan.classes[column] for column in sorted({image.column for image in plan.fresh})]
    yield (
        "only one image to train on",
        [planned.label for planned in taught if planned.train_images == 1],
    )
    yield (
        "nothing is held out to measure on (send more images that differ, raise "
        "validation_fraction, or send an upload with split=test)",
        [p.label for p in taught if not p.held_out and not p.new_held_out],
    )


def _budget(spec: Spec) -> tuple[str, float]:
    if spec.memory.exemplars is not None:
        return "exemplars", spec.memory.exemplars
    assert spec.memory.megabytes is not None  # noqa: S101 - Budget has one of the two
    return "megabytes", spec.memory.megabytes


def _firsts(plan: LearnPlan, new: Sequence[int]) -> list[list[int]]:
    """Return the fewest bytes that each class's first exemplar can have; empty without images.

    A class that gets no new images keeps its ranking, and so its first exemplar.
    """
    sizes = [[image.size for image in planned.exemplars] for planned in plan.classes]
    for image, size in zip(plan.fresh, new, strict=True):
        sizes[image.column].append(size)
    got = {image.column for image in plan.fresh}
    return [[min(own)] if column in got else own[:1] for column, own in enumerate(sizes)]
