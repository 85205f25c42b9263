"""What a client should know of a new version before trusting it, whatever its method.

Who reads it may know only the web page: what the API calls things is in brackets at the end.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from models.fit import Fit

# With fewer optimizer steps little is learnt as a rule, whatever the number of epochs.
FEW_STEPS = 50
# An accuracy from there on shows that the steps were enough.
WELL_LEARNT = 0.9
# On fewer held-out images an accuracy has a standard error of up to 11 points and more.
FEW_HELD_OUT = 20

_SURER = (
    "more images of each class would make it surer (or a larger validation_fraction, or an upload "
    "with split=test)"
)


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
        tried, lower = "", ", a tenth of the lr"
        if second is not None:
            tried, lower = f"; a second, slower try reached {second:.0%}", ""
        found.append(
            f"{_near_chance(fit)}{tried}: give more images (or pretrained weights, more epochs"
            f"{lower})"
        )
    reached = accuracy if fit is None else fit.accuracy
    if steps < FEW_STEPS and (reached is None or reached < WELL_LEARNT):
        found.append(
            f"training took only {steps} steps, too few to learn much: give more images (or more "
            "epochs, a smaller batch_size)"
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
        f"where guessing gets {fit.chance:.0%}; a second, slower try reached {second:.0%} and is "
        "kept (a tenth of the lr in the options spares the time of the first)"
    ]


def of_epochs(chosen: Sequence[int], *, left_open: bool) -> list[str]:
    """Warn of what comes of `epochs: null`, in options where that is `left_open`.

    `chosen` are the epochs that held-out images chose, one for each training phase.
    """
    if not left_open:
        return []
    if not chosen:
        return [
            "no image of the classes is held out to say when training should stop, so it took as "
            "long as the method usually does: give more images of each class (or a number of "
            "epochs, a larger validation_fraction)"
        ]
    numbers = " and ".join(map(str, chosen))
    return [
        "held-out images chose when training should stop, so the accuracy on them is a little too "
        f"high (epochs kept: {numbers}; where you need an accuracy that is not, give a number of "
        "epochs)"
    ]


def of_held_out(fit: Fit | None, held_out: Fit) -> list[str]:
    """Warn of an accuracy on held-out images at chance, where that of training does not show it.

    `held_out` has the accuracy on them, among all classes. Few images say too little.
    """
    told = fit is not None and fit.at_chance
    if told or held_out.images < FEW_HELD_OUT or held_out.classes < 2 or not held_out.at_chance:
        return []
    return [
        "the accuracy on held-out images is hardly better than guessing, which gets "
        f"{held_out.chance:.0%}: give more images of each class (or a pretrained backbone, a "
        "smaller one, a larger image_size)"
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
    if not held_out:
        return [] if left_out is None else [f"no image is held out, so {_goes_by(left_out)}"]
    if classes == 1:
        return [
            "there is a single class, so the accuracy of 100 % says nothing: no answer can be "
            "wrong before there is a second class"
        ]
    if held_out >= FEW_HELD_OUT:
        return []
    images = "one image is" if held_out == 1 else f"{held_out} images are"
    moved = f"by up to {50 / held_out**0.5:.0f} points"
    if left_out is None or left_out["grouped"]:
        return [f"only {images} held out, so chance alone moves the accuracy {moved}: {_SURER}"]
    few = f"only {images} held out, and chance alone moves an accuracy on so few {moved}"
    return [f"{few}, so {_goes_by(left_out)}"]


def _goes_by(left_out: Mapping[str, Any]) -> str:
    text = "the accuracy is that on learnt images, each judged as if it had not been learnt"
    if left_out["grouped"]:
        text += ", which is too high, since others of its group have been"
    return f"{text}: {_SURER}"


def of_forgetting(before: Sequence[int], after: Sequence[int]) -> list[str]:
    """Warn of tasks that now have a single class; `before` and `after` have each column's task."""
    return [
        f"task {task} has a single class left: with the task given, that is always the answer"
        for task in dict.fromkeys(after)
        if after.count(task) == 1 < before.count(task)
    ]
