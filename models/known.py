"""Known or not: whether an image is like those of the classes, by conformal p-values.

An image has one or two scores, which are higher the less it is like the known classes: `doubt`, −1
times the largest softmax, and `distance`, that to the nearest class mean. Of n held-out images,
never trained on, the share with a score at least as high is the p-value of a score s::

    p = (1 + #{held-out ≥ s})/(n + 1)

For an image that is exchangeable with the held-out ones, p ≤ α with a probability of at most α,
whatever the network and the distribution (Vovk, Gammerman & Shafer: Algorithmic Learning in a
Random World, 2005). Of k scores, min(1, k·min p) keeps that promise, by Bonferroni's inequality.

Images of a group, such as frames of a film, are not exchangeable with an image of a new group, so
one image of each is taken.

Where too few images are held out, images that were learnt may stand in, each left out of what
judges it. They are nearly exchangeable with a new image, which one image more judges; not so where
they have groups, since others of its group would judge each.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from models.classify import Output
from models.seeds import generator

# By name, the scores [B] of images.
Scores = Mapping[str, Tensor]

# The part of a version that has its held-out images' scores.
PART = "known"


def scores(output: Output) -> dict[str, Tensor]:
    """Return the scores [B] of predictions: those that tell one image from another.

    A single class is never in doubt, and some methods have no class means.
    """
    found = {}
    if output.log_scores.shape[1] > 1:
        found["doubt"] = -output.log_scores.amax(dim=1).exp()
    if output.deviations is not None:
        found["distance"] = output.deviations.amin(dim=1)
    return found


def one_of_each(groups: Tensor, seed: int) -> Tensor:
    """Return the positions of one image of each group, drawn by `seed`.

    `groups` [n] number the images' groups. A film's first frame is not like any of its frames, so
    it is not always the first.
    """
    order = torch.randperm(len(groups), generator=generator(seed, "one of each group"))
    first: dict[int, int] = {}
    for position in order.tolist():
        first.setdefault(int(groups[position]), position)
    return torch.tensor(sorted(first.values()))


def ascending(held_out: Scores) -> dict[str, Tensor]:
    """Return the scores of held-out images as `p_values` takes them."""
    return {kind: values.sort().values for kind, values in held_out.items()}


def p_values(found: Scores, held_out: Scores) -> Tensor:
    """Return the p-values [B] of images, in float64, by ascending scores [n] of held-out images."""
    each = [_conformal(found[kind], values) for kind, values in held_out.items()]
    return (len(each) * torch.stack(each).amin(dim=0)).clamp_max(1.0)


def smallest_p(held_out: Scores) -> float | None:
    """Return the least p-value that an image can have; None without scores.

    Where that is above α, no image can be called unknown, so nothing can be promised.
    """
    return max((len(held_out) / (len(values) + 1) for values in held_out.values()), default=None)


def promises(output: Output | None, false_alarms: float) -> bool:
    """Say whether the images of these predictions are enough for a share of false alarms."""
    least = None if output is None else smallest_p(scores(output))
    return least is not None and least <= false_alarms


def measure(
    output: Output | None, columns: Tensor, false_alarms: float, rests_on: str = "held_out"
) -> dict[str, Any]:
    """Return what is promised of known images, and the estimated share of unknown ones found.

    `output` are the calibrated predictions of images (None without images), `columns` [n] their
    classes. They were held out or, with ``left_out``, each left out of what judges it.
    """
    return {
        "false_alarms": false_alarms,
        "images": len(columns),
        "classes": len(columns.unique()),
        "rests_on": rests_on,
        "scores": [] if output is None else list(scores(output)),
        "detected": None if output is None else _detected(output, columns, false_alarms),
    }


def _conformal(values: Tensor, held_out: Tensor) -> Tensor:
    below = torch.searchsorted(held_out, values)
    return (1 + len(held_out) - below).double() / (len(held_out) + 1)


def _detected(output: Output, columns: Tensor, false_alarms: float) -> float | None:
    """Return the share of images that are called unknown when their class is left out.

    None where too few images of other classes are held out. The class's column and mean are left
    out, not what the network has learnt from it: for networks that were trained on the class, the
    share is too high.
    """
    tables = _without_each(output)
    found = []
    for column in columns.unique().tolist():
        own = columns == column
        others = ascending({kind: table[~own, column] for kind, table in tables.items()})
        least = smallest_p(others)
        if least is not None and least <= false_alarms:
            left_out = {kind: table[own, column] for kind, table in tables.items()}
            found.append(p_values(left_out, others) <= false_alarms)
    return float(torch.cat(found).double().mean()) if found else None


def _without_each(output: Output) -> dict[str, Tensor]:
    """Return the scores [n, C] of images in which the class of each column is left out.

    Where a router chose a task, the other classes of that task are left.
    """
    classes = output.log_scores.shape[1]
    tables = {}
    if classes > 2:  # without one of two, nothing is in doubt
        logs = output.log_scores.double()
        largest, best = logs.max(dim=1, keepdim=True)
        rest = logs.scatter(1, best, -torch.inf)
        second = rest.amax(dim=1, keepdim=True) - rest.logsumexp(dim=1, keepdim=True)
        # The others are below ½, so that 1 minus them loses no digits.
        doubt = -(largest - torch.log1p(-rest.exp())).exp()
        # A task's only class leaves none to be in doubt about.
        tables["doubt"] = doubt.scatter(1, best, -second.exp().nan_to_num(1.0))
    if output.deviations is not None and classes > 1:
        nearest, best = output.deviations.min(dim=1, keepdim=True)
        second = output.deviations.scatter(1, best, torch.inf).amin(dim=1, keepdim=True)
        tables["distance"] = nearest.expand(-1, classes).scatter(1, best, second)
    return tables
