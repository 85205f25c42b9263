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


def of_training(
    steps: int, fit: Fit | None, accuracy: float | None, second: float | None = None
) -> list[str]:
    """Warn of a training that ended at chance, or was too short to learn much.

    `accuracy` over all classes stands in where there is no `fit`; `second` is the accuracy on its
    own images that a second try reached, where there was one. Without `steps` nothing was trained.
    """
    if not steps:
        return []
    found = []
    if fit is not None and fit.at_chance:
        tried, lower = "", "a tenth of the lr, "
        if second is not None:
            tried, lower = f"; a second try at a tenth of the lr reached {second:.0%}", ""
        found.append(
            f"{_near_chance(fit)}{tried}; try {lower}more epochs, more images or pretrained weights"
        )
    reached = accuracy if fit is None else fit.accuracy
    if steps < FEW_STEPS and (reached is None or reached < WELL_LEARNT):
        found.append(
            f"training took only {steps} steps, too few to learn much: give more images, more "
            "epochs or a smaller batch_size"
        )
    return found


def second_try(fit: Fit) -> str:
    """Return what is said when a training is tried once more."""
    return f"{_near_chance(fit)}; it is tried once more at a tenth of the lr"


def of_second_try(first: float, second: float, fit: Fit) -> list[str]:
    """Warn of a second try that is kept, where it is not warned of as near chance itself."""
    if second <= first or fit.at_chance:
        return []
    return [
        f"training ended near chance at first: of its own images {first:.0%} were named rightly, "
        f"where guessing gets {fit.chance:.0%}; a second try at a tenth of the lr reached "
        f"{second:.0%} and is kept: set that lr in the options to spare the time of the first"
    ]


def of_epochs(chosen: Sequence[int], *, left_open: bool) -> list[str]:
    """Warn of what comes of `epochs: null`, in options where that is `left_open`.

    `chosen` are the epochs that held-out images chose, one for each training phase.
    """
    if not left_open:
        return []
    if not chosen:
        return [
            "epochs is null, but there is no held-out image of the classes to say when to stop, so "
            "the method's usual number of epochs was trained: give epochs, or raise "
            "validation_fraction"
        ]
    numbers = " and ".join(map(str, chosen))
    return [
        f"held-out images chose the epoch to keep ({numbers}), so the accuracy on them is a little "
        "too high: give a number of epochs where you need one that is not"
    ]


def of_held_out(fit: Fit | None, held_out: Fit) -> list[str]:
    """Warn of an accuracy on held-out images at chance, where that of training does not show it.

    `held_out` has the accuracy on them, among all classes. Few images say too little.
    """
    told = fit is not None and fit.at_chance
    if told or held_out.images < FEW_HELD_OUT or held_out.classes < 2 or not held_out.at_chance:
        return []
    return [
        f"the accuracy on held-out images, {held_out.accuracy:.0%}, is hardly better than guessing "
        f"({held_out.chance:.0%}): give more images of each class, a pretrained backbone "
        "or a smaller one, or a larger image_size"
    ]


def _near_chance(fit: Fit) -> str:
    return (
        f"training ended near chance: of {fit.images} of its own images {fit.accuracy:.0%} are "
        f"named rightly among {fit.classes} classes, where guessing gets {fit.chance:.0%}"
    )


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
