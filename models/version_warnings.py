"""What a client should know of a new version before trusting it, whatever its method."""

from collections.abc import Mapping, Sequence
from typing import Any

from models.fit import Fit

# With fewer optimizer steps little is learnt as a rule, whatever the number of epochs.
FEW_STEPS = 50
# An accuracy from there on shows that the steps were enough.
WELL_LEARNT = 0.9
# On fewer held-out images an accuracy has a standard error of up to 11 points and more.
FEW_HELD_OUT = 20


def of_training(steps: int, fit: Fit | None, accuracy: float | None) -> list[str]:
    """Warn of a training that ended at chance, or was too short to learn much.

    `accuracy` over all classes stands in where there is no `fit`. Without `steps` nothing was
    trained.
    """
    if not steps:
        return []
    found = []
    if fit is not None and fit.at_chance:
        found.append(
            f"training ended near chance: of {fit.images} of its own images {fit.accuracy:.0%} are "
            f"named rightly among {fit.classes} classes, where guessing gets {fit.chance:.0%}; try "
            "a tenth of the lr, more epochs, more images or pretrained weights"
        )
    reached = accuracy if fit is None else fit.accuracy
    if steps < FEW_STEPS and (reached is None or reached < WELL_LEARNT):
        found.append(
            f"training took only {steps} steps, too few to learn much: give more images, more "
            "epochs or a smaller batch_size"
        )
    return found


def of_accuracy(
    classes: int, held_out: int, left_out: Mapping[str, Any] | None = None
) -> list[str]:
    """Warn of an accuracy that says little: of one class, or on few held-out images.

    `left_out` is the leave-one-out accuracy of the metrics, where there is one.
    """
    stands_in = "" if left_out is None else _stands_in(left_out)
    if not held_out:
        return [f"no image is held out, so there is no accuracy: {stands_in}"] if stands_in else []
    if classes == 1:
        return [
            "there is a single class, so the accuracy of 100 % says nothing: no answer can be "
            "wrong before there is a second class"
        ]
    if held_out >= FEW_HELD_OUT:
        return []
    images = "one image" if held_out == 1 else f"{held_out} images"
    return [
        f"the accuracy rests on {images}, so chance alone moves it by up to "
        f"{50 / held_out**0.5:.0f} points: send more images, raise validation_fraction, or send an "
        "upload with split=test" + (f"; {stands_in}" if stands_in else "")
    ]


def _stands_in(left_out: Mapping[str, Any]) -> str:
    text = (
        f"leave_one_out in the metrics is the accuracy on {left_out['images']} training images, "
        f"each left out of what judges it: {left_out['accuracy']:.1%}"
    )
    if left_out["grouped"]:
        text += ", which is too high, since each is judged by other images of its group"
    return text


def of_forgetting(before: Sequence[int], after: Sequence[int]) -> list[str]:
    """Warn of tasks that now have a single class; `before` and `after` have each column's task."""
    return [
        f"task {task} has a single class left: with the task given, that is always the answer"
        for task in dict.fromkeys(after)
        if after.count(task) == 1 < before.count(task)
    ]
